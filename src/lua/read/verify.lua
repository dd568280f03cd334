-- Verifies the log of a host: reads all of it in order, and gives it to the core (src/chain/verify.rs).

local native, chunks = ...;

local ipairs = ipairs;

local read_page = chunks.page.read_page;

--   context = {
--     journal_path, readable_path, get_option, now, seal_path   as the log's environment has them
--   }
--   recorder
--   reading   what read.lua returns
-- Returns verify(host, pause | nil, known | nil)
-- -> { intact, verified, unprotected, removed, faults, status, sealed, lines } | nil, message
-- pause() is called when the loop was blocked for long enough. known = {
--     anchors   list of texts with anchors that were kept elsewhere | nil
--     keys      list of seal keys | nil
--   }
local function new(context, recorder, reading, ensure_configured)
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
	local function rely_on_seals(host, verifier, keys, breathe, pause)
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

	return function (host, pause, known)
		ensure_configured(host);
		local path_of = context.readable_path or context.journal_path;
		local path = path_of and path_of(host);
		if not path then
			return nil, "the host has no journal";
		end
		local breathe = reading.new_breath();
		-- The journal is read first: it says how far the chains have got, and what the store has to have.
		local verifier, problem = recorder.verifier(host, path);
		if not verifier then
			return nil, "the journal can't be read: "..problem;
		end
		if known and known.anchors then
			verifier:compare(known.anchors);
		end
		breathe(pause);
		if known and known.keys then
			local ok;
			ok, problem = rely_on_seals(host, verifier, known.keys, breathe, pause);
			if not ok then
				return nil, problem;
			end
		end
		local store, users = reading.open(host);
		if not store then
			return nil, users;
		end
		local limit = pause and native.verifying.slice or native.verifying.page;

		-- Reads an archive user from its first entry on: true | nil, message
		local function read(user)
			verifier:begin(user);
			local page = { partition = user; oldest_first = true; limit = limit };
			repeat
				local rows, skipped = reading.patiently(read_page, store, page, function () breathe(pause); end);
				if not rows then
					return nil, skipped;
				elseif rows.gone then
					-- It was removed meanwhile, or written again without what has expired.
					return true;
				end
				local count, key, when = verifier:feed(rows, skipped);
				page.behind, page.near = key, when;
				breathe(pause);
			until count + skipped < limit or not key;
			return true;
		end

		for _, user in ipairs(verifier:order(users)) do
			local ok, err = read(user);
			if not ok then
				return nil, err;
			end
		end
		local ok, err = read(nil);
		if not ok then
			return nil, err;
		end
		while verifier:feed_waiting(limit) do
			breathe(pause);
		end
		return verifier:finish(context.now());
	end
end

return { new = new };
