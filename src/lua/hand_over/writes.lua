-- What is being written to stores now: a slice of the hand-over, or one entry that goes to the store directly. The driver may yield
-- meanwhile, and other entries of the host must not overtake those that it was given.

-- new(slices, now) -> writes
--   slices    by host what is being written: { began = UNIX time }. The next log gets the same table if the module is reloaded.
local function new(slices, now)
	-- Begins to write for a host. ended() takes the result.
	local function begin(host)
		local slice = { began = now() };
		slices[host] = slice;
		return slice;
	end

	-- If the driver has not answered for long, something else may have begun meanwhile, and goes on.
	local function ended(host, slice)
		if slices[host] == slice then
			slices[host] = nil;
		end
	end

	-- For how many seconds the next slice of a host has to wait; 0 if nothing is being written, or the driver does not answer.
	local function wait(host, journal)
		local slice = slices[host];
		return slice and journal:wait_for(slice.began, now()) or 0;
	end

	return { begin = begin; ended = ended; wait = wait };
end

return { new = new };
