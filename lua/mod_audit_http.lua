-- The log in a browser: a page for administrators and one for each user, served by mod_http at /audit of the host, and an interface for
-- programs. docs/web.md describes it. It is off unless this module is loaded.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why

local core = require "audit_core";

local st = require "util.stanza";

local answers = library "web/answers";
local faults = library "faults";
local new_access = library "web/access";
local new_api = library "web/api";
local new_audit = library "audit";
local new_command = library "reading/commands";
local new_live = library "web/live";
local new_own = library "web/own";
local new_pages = library "web/pages";
local readings = library "reading/readings";

local shared = module:shared("/*/audit/log");
local web = core.web;

local NODE = "xmpp:prosody.im/audit#";

local files = {
	["style.css"] = answers.file("text/css; charset=utf-8", web.style);
	["script.js"] = answers.file("text/javascript; charset=utf-8", web.script);
	["icon.svg"] = answers.file("image/svg+xml", web.icon);
};

local function missing()
	return answers.notice(404, "Not found", "There is no such page.");
end

-- An ad-hoc command that answers with a link.
local function add_link_command(host_module, name, node, permission, link)
	host_module:provides("adhoc", new_command(host_module, name, NODE..node, function (_, data)
		local url, problem = link(data.from);
		if not url then
			return { status = "completed"; error = { message = "There is no link now: "..problem } };
		end
		local form = st.stanza("x", { xmlns = "jabber:x:data"; type = "result" }):text_tag("title", name)
			:tag("field", { var = "url"; type = "text-single"; label = "Link, for ten minutes and one use" }):text_tag("value", url):up();
		return { status = "completed"; other = form; info = url };
	end, permission));
end

function module.add_host(host_module)
	local host = host_module.host;
	if host_module:get_host_type():find("component", 1, true) then
		host_module:log("error", "mod_audit_http is for hosts with accounts, not for the component %s", host);
		return false;
	end
	local audit = new_audit(host_module, "audit", "http", "adhoc");
	local access = new_access(audit);
	local pages = new_pages(audit);
	local live = new_live(audit, access, pages);
	local own = new_own(host);
	local api = new_api(audit, pages);
	local try = faults.trier(host_module);

	shared.web = shared.web or {};
	shared.web[host] = { access = access; api = api };

	local function sign_in_page(request)
		local form = web.form(request.url.query or "");
		local link = form and form.link;
		local account, is_own = access.guest(link or "");
		if not account then
			return answers.notice(410, "This link can't be used", "It was used, or is older than ten minutes. Ask for another one.");
		end
		return answers.page(web.sign_in(link, account, host, is_own));
	end

	local function sign_in(request)
		local form = answers.is_own(request) and answers.form(request);
		local headers, account, is_own = nil, nil, nil;
		if form and form.link then
			headers, account, is_own = access.admit(form.link);
		end
		if not headers then
			return answers.notice(403, "This link can't be used", "It was used, or is older than ten minutes. Ask for another one.");
		elseif not is_own then
			readings.record(host, { through = "http"; actor = pages.actor(request, account) });
		end
		return answers.go_to("./", headers);
	end

	local function sign_out(request, reader)
		local form = answers.is_own(request) and answers.form(request);
		local headers = form and form.csrf and access.leave(reader, form.csrf);
		if not headers then
			return answers.notice(403, "Not allowed", "This form was not made for this session.");
		end
		headers.clear_site_data = "\"cache\"";
		return answers.go_to("./", headers);
	end

	-- For administrators. Others see the page of their own account.
	local of_admins = {
		[""] = function (event, reader) return pages.show("log", event.request, reader); end;
		account = function (event, reader) return pages.show("account", event.request, reader); end;
		network = function (event, reader) return pages.show("network", event.request, reader); end;
		download = pages.download;
		live = live.watch;
	};

	local function get(event, path)
		local request = event.request;
		if files[path] then
			return files[path];
		elseif not answers.is_safe(request) then
			return answers.notice(403, "Not over HTTP", "This page is for HTTPS only. Behind a proxy, see docs/web.md.");
		elseif path == "api/v1/openapi.json" then
			return answers.json(200, web.openapi());
		elseif path == "api/v1/entries" or path == "api/v1/stats" then
			return api.answer(path:match("%a+$"), request);
		elseif path == "api/v1/verify" then
			return api.verify(request);
		elseif path == "sign-in" then
			return sign_in_page(request);
		end
		local reader = access.enter(request);
		if not reader then
			if path ~= "" and not of_admins[path] then return missing(); end
			return answers.notice(403, "Sign in", "Open a link: an administrator gets one by prosodyctl mod_audit --link, and everybody by the "
				.."ad-hoc commands of the server.");
		elseif reader.is_own then
			return path == "" and own.show(request, reader) or missing();
		elseif of_admins[path] then
			return of_admins[path](event, reader);
		end
		return missing();
	end

	local function post(event, path)
		local request = event.request;
		if not answers.is_safe(request) then
			return answers.notice(403, "Not over HTTP", "This page is for HTTPS only. Behind a proxy, see docs/web.md.");
		elseif path == "sign-in" then
			return sign_in(request);
		end
		local reader = access.enter(request);
		if path == "sign-out" and reader then
			return sign_out(request, reader);
		elseif path == "sign-out" then
			return answers.go_to("./");
		end
		return missing();
	end

	local function guarded(handle)
		return function (event, path)
			local answer = try("a request of a browser", handle, event, path);
			if answer == nil then
				answer = answers.notice(500, "Something went wrong", "The log of the server says what.");
			end
			return answer;
		end
	end

	host_module:provides("http", {
		name = "audit"; default_path = "/audit"; cors = { enabled = false };
		route = { ["GET /*"] = guarded(get); ["POST /*"] = guarded(post) };
	});

	add_link_command(host_module, "Open the audit log in a browser", "browser", "admin", function (from)
		local username, of_host = require "util.jid".split(from);
		if of_host ~= host then return nil, "the account is of another host"; end
		return access.link(username, false);
	end);
	if own.is_offered() then
		add_link_command(host_module, "My account activity, in a browser", "my-browser", "local_user", function (from)
			return access.link(require "util.jid".node(from), true);
		end);
	end

	function host_module.unload()
		live.close();
		if shared.web then shared.web[host] = nil; end
	end
end
