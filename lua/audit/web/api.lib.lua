-- The log for programs: JSON over HTTP, with tokens that an operator makes. src/web/token.rs says what a token is.

local core = require "audit_core";

local json = require "util.json";
local time = require "util.time";

local answers = library "web/answers";
local readings = library "reading/readings";

local shared = module:shared("/*/audit/log");
local audit_log = shared.log;
local web = core.web;
local limits = web.limits;

local function nothing() end

-- new_api(audit, pages) -> the answers for programs, and the tokens, of a host
return function (audit, pages)
	local module = audit.module;
	local host = module.host;
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

	-- The name and the types of the token that a request shows | nil, the answer to it
	local function identify(request)
		local secret = (request.headers.authorization or ""):match("^[Bb]earer +([%w_-]+)$");
		local all, problem;
		if secret then
			all, problem = tokens();
		end
		if problem and not all then
			-- Anybody may ask: this is logged once.
			if not is_told then
				module:log("error", "Programs can't read the log: %s", problem);
			end
			is_told = true;
			return nil, answers.problem(500, "internal-server-error", "The tokens can't be read now.");
		end
		is_told = false;
		local name, types;
		if all then
			name, types = all:find(secret, time.now());
		end
		if not name then
			return nil, answers.problem(401, "not-authorized", "A token is needed: Authorization: Bearer …", { www_authenticate = "Bearer realm=\"audit\"" });
		end
		return name, types;
	end

	-- answer(what = "entries" | "stats", request) -> answer
	function api.answer(what, request)
		local name, types = identify(request);
		if not name then return types; end
		local asked, address = pages.asked_of(request);
		if not asked then
			return answers.problem(400, "bad-request", (address:gsub("%-%-([%a-]+)", "%1")));
		end
		if #types > 0 then asked = asked:showing(types); end
		local size = math.min(asked.limit or limits.page, limits.largest_answer);
		local view = web.view();
		if what == "entries" then
			local after = address:value("after");
			asked = asked:page(size, after ~= "" and after or nil);
		end
		local ok, result = pages.read(readings.pause, function (pause)
			return audit_log.read(asked, nothing, { writing = what == "stats" and view:numbers() or view:entries(); pause = pause });
		end);
		if ok == nil then
			return answers.problem(503, "resource-constraint", "Too many are reading the log.", pages.busy);
		end
		readings.record(host, {
			through = "api"; filter = asked.asked; entries = ok and result.shown or nil; exported = true; format = "json";
			by = "token "..name; actor = pages.actor(request);
		});
		if not ok or result.problem then
			module:log("error", "The log can't be read for a program: %s", ok and result.problem or result);
			return answers.problem(500, "internal-server-error", "The log can't be read now.");
		end
		local next_place = what == "entries" and result.shown == size and result.last or nil;
		return answers.json(200, view:json(what, host, next_place, result.damaged, result.hidden));
	end

	-- Verifying reads the whole log: once at a time.
	local is_verifying = false;

	-- verify(request) -> answer: whether the chains of the log are intact
	function api.verify(request)
		local name, types = identify(request);
		if not name then
			return types;
		elseif #types > 0 then
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
