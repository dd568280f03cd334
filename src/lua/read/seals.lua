-- Reads the seals of a log for a verifier, before its entries (src/chain/sealed.rs).

local native, chunks = ...;

local ipairs = ipairs;
local read_page = chunks.page.read_page;

-- context = { get_option, seal_path }, as verify.lua has them; reading: what read.lua returns
-- Returns rely_on(host, verifier, keys, pause): lets the log agree with its seals: true | nil, message
local function new(context, reading)
	-- Gives the entries of an archive user that concern the whole host, as seals do, to the verifier: true | nil, message
	local function read_seals(verifier, store, user, breathe, pause)
		local limit = pause and native.verifying.slice or native.verifying.page;
		local page = { partition = user; oldest_first = true; limit = limit; with = native.host_wide };
		repeat
			local rows, skipped = reading.patiently(read_page, store, page, function () breathe(pause); end);
			if not rows then
				return nil, skipped;
			end
			local count, key, when = verifier:feed_seals(rows);
			page.behind, page.near = key, when;
			breathe(pause);
		until rows.gone or count + skipped < limit or not key;
		return true;
	end

	-- Lets the log agree with its seals: true | nil, message
	return function (host, verifier, keys, pause)
		local breathe = reading.new_breath();
		local path, option = context.seal_path, "audit_log_seal_interval";
		local interval = native.option(option, context.get_option("*", option));
		for _ = 1, native.verifying.tries do
			local ok, problem = verifier:open_seals(keys, path);
			if not ok then
				return nil, problem;
			end
			local store, users = reading.open(host);
			if not store then
				return nil, users;
			end
			for _, user in ipairs(verifier:order(users)) do
				ok, problem = read_seals(verifier, store, user, breathe, pause);
				if not ok then
					return nil, problem;
				end
			end
			ok, problem = read_seals(verifier, store, nil, breathe, pause);
			if ok then
				ok, problem = verifier:close_seals(path, interval);
			end
			if ok ~= false then
				return ok, problem;
			end
		end
		return nil, "the server replaces the seal key all the time";
	end
end

return { new = new };
