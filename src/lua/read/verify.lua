-- Verifies the log of a host: reads all of it in order, and gives it to the core (src/chain/verify.rs). Or exports it, so that it can be
-- verified elsewhere (src/chain/exported.rs).

local native, chunks = ...;

local ipairs = ipairs;

local read_page = chunks.page.read_page;

--   context = {
--     now, journal_path, readable_path, get_option, seal_path   as the log's environment has them
--   }
--   recorder
--   reading   what read.lua returns
local function new(context, recorder, reading, ensure_configured, is_direct)
	local rely_on_seals = chunks.seals.new(context, reading);

	-- path_of(host) -> path of its journal | nil, message
	local function path_of(host)
		ensure_configured(host);
		local of = context.readable_path or context.journal_path;
		local path = of and of(host);
		if not path then
			return nil, "the host has no journal";
		end
		return path;
	end

	-- begin(what, host, ...) -> object of the core | nil, message. The journal is read first: it says how far the chains have got, and
	-- what the store has to have.
	local function begin(what, host, ...)
		local path, problem = path_of(host);
		if not path then
			return nil, problem;
		end
		local object;
		object, problem = recorder[what](host, path, ...);
		if not object then
			return nil, "the journal can't be read: "..problem;
		end
		return object;
	end

	-- Gives all entries of a host to a verifier or an exporter: true | nil, message. each() is called after every page; what it returns
	-- then, if it is nil and a message, ends this.
	local function walk(host, object, pause, each)
		local breathe = reading.new_breath();
		breathe(pause);
		local store, users = reading.open(host);
		if not store then
			return nil, users;
		end
		local limit = pause and native.verifying.slice or native.verifying.page;

		-- Reads an archive user from its first entry on: true | nil, message
		local function read(user)
			object:begin(user);
			local page = { partition = user; oldest_first = true; limit = limit };
			repeat
				local rows, skipped = reading.patiently(read_page, store, page, function () breathe(pause); end);
				if not rows then
					return nil, skipped;
				elseif rows.gone then
					-- It was removed meanwhile, or written again without what has expired.
					return true;
				end
				local count, key, when = object:feed(rows, skipped);
				page.behind, page.near = key, when;
				local ok, problem = each();
				if not ok then
					return nil, problem;
				end
				breathe(pause);
			until count + skipped < limit or not key;
			return true;
		end

		for _, user in ipairs(object:order(users)) do
			local ok, err = read(user);
			if not ok then
				return nil, err;
			end
		end
		local ok, err = read(nil);
		if not ok then
			return nil, err;
		end
		while object:feed_waiting(limit) do
			ok, err = each();
			if not ok then
				return nil, err;
			end
			breathe(pause);
		end
		return true;
	end

	local function go_on()
		return true;
	end

	-- verify(host, pause | nil, known | nil)
	-- -> { intact, verified, unprotected, removed, faults, status, again, sealed, lines } | nil, message
	-- pause() is called when the loop was blocked for long enough. known = {
	--     anchors   list of texts with anchors that were kept elsewhere | nil
	--     keys      list of seal keys | nil
	--   }
	local function verify(host, pause, known)
		local verifier, problem = begin("verifier", host);
		if not verifier then
			return nil, problem;
		end
		if known and known.anchors then
			verifier:compare(known.anchors);
		end
		local ok, err = true, nil;
		if known and known.keys then
			ok, err = rely_on_seals(host, verifier, known.keys, pause);
		end
		if not ok then
			return nil, err;
		end
		-- What was erased is known from a file beside the journal.
		local erased = context.erased_path and context.erased_path(host);
		if erased then
			ok, err = verifier:know_erased(erased, false);
		end
		if ok then
			ok, err = walk(host, verifier, pause, go_on);
		end
		if ok and erased then
			ok, err = verifier:know_erased(erased, true);
		end
		if not ok then
			return nil, err;
		end
		-- Entries that are written directly are in the store first.
		local boot;
		if context.uptime and not is_direct[host] then
			boot = select(2, context.uptime(context.now()));
		end
		return verifier:finish(context.now(), boot);
	end

	-- export(host, out) -> number of entries | nil, message. Gives the file that can be verified elsewhere to out(text), which returns
	-- true, or nil and a message to stop.
	local function export(host, out)
		local erased = context.erased_path and context.erased_path(host);
		local exporter, problem = begin("exporter", host, context.now(), context.seal_path, erased);
		if not exporter then
			return nil, problem;
		end
		local function put()
			return out(exporter:take());
		end
		local ok, err = walk(host, exporter, nil, put);
		if not ok then
			return nil, err;
		end
		local count;
		count, problem = exporter:finish();
		if not count then
			return nil, problem;
		end
		ok, err = put();
		if not ok then
			return nil, err;
		end
		return count;
	end

	-- anchors(host) -> list of anchors: the last entry of each chain | nil, message. The store is asked only in which run entries were
	-- recorded that do not wait. If it can't say, they are anchors too.
	local function anchors(host)
		local heads, problem = begin("heads", host);
		if not heads then
			return nil, problem;
		end
		local store, users;
		if not heads:are_known() then
			store, users = reading.open(host);
		end
		local function look(user)
			local rows = read_page(store, { partition = user; limit = 1 });
			if rows then
				heads:saw(rows);
			end
		end
		if store then
			for _, user in ipairs(recorder.newest(users, context.now())) do look(user); end
			look(nil);
		end
		return heads:lines();
	end

	return { verify = verify; export = export; anchors = anchors };
end

return { new = new };
