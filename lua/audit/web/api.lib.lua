-- The log for programs: JSON over HTTP, with tokens that an operator makes (src/web/token.rs says what such a token is), or that an
-- administrator has given to a program by mod_http_oauth2 (grants.lib.lua).

local core = require "audit_core";

local json = require "util.json";
local time = require "util.time";

local answers = library "web/answers";
local new_grants = library "web/grants";
local readings = library "reading/readings";

local shared = module:shared("/*/audit/log");
local audit_log = shared.log;
local web = core.web;
local limits = web.limits;

local function nothing() end

-- new_api(audit, access, pages) -> the answers for programs, and the tokens, of a host
return function (audit, access, pages)
	local module = audit.module;
	local host = module.host;
	local grants = new_grants(host, access);
	local api = {};
	-- Kept here once they were read, so that a revoked token ends with the next request. Only this server changes them.
	local kept;
	local is_told = false;

	local function store()
		return module:open_store("audit_tokens", "keyval");
	end

	-- The tokens | nil, what is wrong. For an async context.
	local function tokens()
		if kept then return kept; end
		local ok, stored, problem = pcall(function ()
			return store():get(nil);
		end);
		if not ok or not stored and problem then
			return nil, "the tokens can't be read: "..tostring(ok and problem or stored);
		end
		kept, problem = web.tokens(type(stored) == "table" and stored.tokens or nil);
		return kept, problem;
	end

	-- Stores them -> true | nil, what is wrong. What is stored is what counts after that.
	local function keep(changed)
		local ok, done, problem = pcall(function ()
			return store():set(nil, { tokens = changed:text() });
		end);
		if not ok or not done then
			kept = nil;
			return nil, "the tokens can't be stored: "..tostring(ok and problem or done);
		end
		return true;
	end

	-- make(name, types, seconds | nil) -> the secret of a new token | nil, what is wrong
	function api.make(name, types, seconds)
		local all, problem = tokens();
		if not all then return nil, problem; end
		local now = time.now();
		local secret;
		secret, problem = all:add(name, types, seconds and now + seconds, now);
		if not secret then return nil, problem; end
		local is_kept;
		is_kept, problem = keep(all);
		return is_kept and secret or nil, problem;
	end

	-- revoke(name) -> true | nil, what is wrong
	function api.revoke(name)
		local all, problem = tokens();
		if not all then return nil, problem; end
		local ok;
		ok, problem = all:revoke(name);
		if not ok then return nil, problem; end
		return keep(all);
	end

	-- list() -> list of lines | nil, what is wrong
	function api.list()
		local all, problem = tokens();
		if not all then return nil, problem; end
		local function day(at)
			return os.date("!%Y-%m-%d %H:%M UTC", math.floor(at));
		end
		local lines = {};
		for i, token in ipairs(all:list(time.now())) do
			lines[i] = ("%s: %s, made %s, %s"):format(token.name, #token.types > 0 and table.concat(token.types, ",") or "all event types",
				day(token.created), not token.expires and "has no end" or (token.is_open and "until " or "expired ")..day(token.expires));
		end
		return lines;
	end

	local function unauthorized(text)
		return answers.problem(401, "not-authorized", text, { www_authenticate = "Bearer realm=\"audit\"" });
	end

	-- Anybody may ask: what is wrong is logged once.
	local function broken(problem)
		if not is_told then
			module:log("error", "Programs can't read the log: %s", problem);
		end
		is_told = true;
		return answers.problem(500, "internal-server-error", "The tokens can't be read now.");
	end

	-- Who shows a token that an account has given: { by = name, types = {}, account = JID } | nil, the answer to it
	local function identify_account(secret)
		local reader, condition, problem = grants.find(secret);
		if condition == "error" then
			return nil, broken(problem);
		elseif condition == "forbidden" then
			return nil, answers.problem(403, "forbidden",
				("%s may not read the log of %s with this token: it is for administrators, and for their role as a scope."):format(problem, host));
		elseif condition == "not-offered" then
			return nil, unauthorized("This host takes only tokens that prosodyctl mod_audit --token makes.");
		elseif condition then
			return nil, unauthorized("There is no such token, or it has ended.");
		end
		is_told, reader.types = false, {};
		return reader;
	end

	-- Who shows a token: { by = name, types = list, account = JID | nil } | nil, the answer to it
	local function identify(request)
		local scheme, secret = (request.headers.authorization or ""):match("^(%a+) +(%S+)$");
		if not secret or scheme:lower() ~= "bearer" then
			return nil, unauthorized("A token is needed: Authorization: Bearer …");
		elseif secret:sub(1, #web.token_prefix) ~= web.token_prefix then
			return identify_account(secret);
		end
		local all, problem = tokens();
		if not all then
			return nil, broken(problem);
		end
		is_told = false;
		local name, types = all:find(secret, time.now());
		if not name then
			return nil, unauthorized("There is no such token, or it has ended.");
		end
		return { by = "token "..name; types = types };
	end

	-- answer(what = "entries" | "stats", event) -> answer | true, when it was sent piece by piece
	function api.answer(what, event)
		local request = event.request;
		local reader, refusal = identify(request);
		if not reader then return refusal; end
		local asked, address = pages.asked_of(request);
		if not asked then
			return answers.problem(400, "bad-request", (address:gsub("%-%-([%a-]+)", "%1")));
		end
		if #reader.types > 0 then asked = asked:showing(reader.types); end
		local size = math.min(asked.limit or limits.page, limits.largest_answer);
		local view = web.view();
		if what == "entries" then
			local after = address:value("after");
			asked = asked:page(size, after ~= "" and after or nil);
		end
		local ok, result = pages.read(readings.pause, function (pause)
			local writing = what == "stats" and view:numbers() or view:as_json(host);
			return audit_log.read(asked, nothing, { writing = writing; pause = pause; haste = "batches" });
		end);
		if ok == nil then
			return answers.problem(503, "resource-constraint", "Too many are reading the log.", pages.busy);
		end
		readings.record(host, {
			through = "api"; filter = asked.asked; entries = ok and result.shown or nil; exported = true; format = "json";
			by = reader.by; actor = pages.actor(request, reader.account);
		});
		if not ok or result.problem then
			module:log("error", "The log can't be read for a program: %s", ok and result.problem or result);
			return answers.problem(500, "internal-server-error", "The log can't be read now.");
		end
		local next_place = what == "entries" and result.shown == size and result.last or nil;
		readings.pause();
		local text = view:json(what, host, next_place, result.damaged, result.hidden);
		readings.pause();
		return answers.send(event, answers.json(200, text));
	end

	-- Verifying reads the whole log: once at a time.
	local is_verifying = false;

	-- verify(request) -> answer: whether the chains of the log are intact
	function api.verify(request)
		local reader, refusal = identify(request);
		if not reader then
			return refusal;
		elseif #reader.types > 0 then
			return answers.problem(403, "forbidden", "This token is for some event types only.");
		elseif is_verifying then
			return answers.problem(503, "resource-constraint", "The log is being verified already.", pages.busy);
		end
		is_verifying = true;
		local ok, result, problem = pages.read(readings.pause, function (pause)
			return audit_log.verify(host, pause);
		end);
		is_verifying = false;
		if ok == nil then
			return answers.problem(503, "resource-constraint", "Too many are reading the log.", pages.busy);
		elseif not ok then
			result, problem = nil, result;
		end
		shared.verifying.note(host, result, problem);
		if not result then
			return answers.problem(500, "internal-server-error", "The log can't be verified now.");
		end
		return answers.json(200, json.encode {
			host = host; intact = result.intact; verified = result.verified; unprotected = result.unprotected; removed = result.removed;
			faults = result.faults; text = result.lines;
		}.."\n");
	end

	return api;
end
