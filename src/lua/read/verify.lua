-- Verifies the log of a host: reads all of it in order, and gives it to the core (src/chain/verify.rs).

local native, chunks = ...;

local ipairs = ipairs;
local read_page = chunks.page.read_page;

--   context = {
--     journal_path, readable_path   as the log's environment has them
--   }
--   recorder
--   reading   what read.lua returns
-- Returns verify(host, pause | nil, anchors | nil)
-- -> { intact, verified, unprotected, removed, faults, status, lines } | nil, message
-- pause() is called when the loop was blocked for long enough. `anchors` is a list of texts with anchors that were kept elsewhere.
local function new(context, recorder, reading, ensure_configured)
	return function (host, pause, anchors)
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
		if anchors then
			verifier:compare(anchors);
		end
		breathe(pause);
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
		return verifier:finish();
	end
end

return { new = new };
