-- axe-core in a page of support.devtools: what it finds wrong for people with disabilities. tools/setup test gets it by npm.
--
--   local axe = require "support.axe";
--   assert.same({}, axe.findings(page));

local lfs = require "lfs";
local process = require "support.process";

local axe = {};

local script = process.target.."/axe/node_modules/axe-core/axe.min.js";

-- The result of axe.run is large, and only what is wrong is wanted.
local run = [[axe.run(document, { resultTypes: ["violations"] }).then(function (result) {
	return result.violations.map(function (rule) {
		return rule.id + ": " + rule.help + ": " + rule.nodes.map(function (node) {
			return node.target.join(" ") + " " + node.html.slice(0, 200) + " " + (node.any[0] ? node.any[0].message : "");
		}).join("; ");
	});
})]];

-- available() -> true | false, why not
function axe.available()
	if lfs.attributes(script, "mode") then
		return true;
	end
	return false, "axe-core is not here: tools/setup test installs it, if there is npm";
end

-- findings(page) -> a list of sentences
function axe.findings(page)
	axe.text = axe.text or assert(process.read(script));
	-- As an expression of the developer tools: the policy of the page would not load a file of another place.
	if not page:eval("!!window.axe") then page:eval(axe.text..";0"); end
	return page:eval(run);
end

return axe;
