-- The log in a browser: a page for administrators and one for each user, served by mod_http at /audit of the host, and an interface for
-- programs. docs/web.md describes it. It is off unless this module is loaded.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why

local st = require "util.stanza";

local faults = library "faults";
local new_audit = library "audit";
local new_command = library "reading/commands";

local shared = module:shared("/*/audit/log");

local NODE = "xmpp:prosody.im/audit#";

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
	local try = faults.trier(host_module);

	-- The site of the host. It is loaded and made when it is first asked for: Prosody's garbage collector looks at everything that is
	-- loaded again and again.
	local made;
	local function site()
		made = made or library "web/site" (audit);
		return made;
	end

	shared.web = shared.web or {};
	shared.web[host] = site;

	local function guarded(method)
		local function handle(event, path)
			return site()[method](event, path);
		end
		return function (event, path)
			local answer = try("a request of a browser", handle, event, path);
			if answer == nil then
				answer = library "web/answers".notice(500, "Something went wrong", "The log of the server says what.");
			end
			return answer;
		end
	end

	host_module:provides("http", {
		name = "audit"; default_path = "/audit"; cors = { enabled = false };
		route = { ["GET /*"] = guarded "get"; ["POST /*"] = guarded "post" };
	});

	add_link_command(host_module, "Open the audit log in a browser", "browser", "admin", function (from)
		local username, of_host = require "util.jid".split(from);
		if of_host ~= host then return nil, "the account is of another host"; end
		return site().access.link(username, false);
	end);
	if shared.histories and shared.histories[host] then
		add_link_command(host_module, "My account activity, in a browser", "my-browser", "local_user", function (from)
			return site().access.link(require "util.jid".node(from), true);
		end);
	end

	function host_module.unload()
		if made then made.live.close(); end
		if shared.web then shared.web[host] = nil; end
	end
end
