-- Why a receiver can't be used, in words that an operator understands.
--
-- local problems = library "sinks/problems";
-- problems.of_chain(conn)          -> what is wrong with the certificate of the other end of a TLS connection | nil
-- problems.of_name(conn, host)     -> that it is for another name | nil
-- problems.of_connection(err)      -> why there is no connection

local verify_identity = require "util.x509".verify_identity;

local next, tostring, type = next, tostring, type;

local problems = {};

-- The first text in a list of lists.
local function first_text(value)
	while type(value) == "table" do
		local _, inner = next(value);
		value = inner;
	end
	return value and tostring(value) or nil;
end

function problems.of_chain(conn)
	local is_trusted, reasons = conn:socket():getpeerverification();
	if not is_trusted then
		local reason = first_text(reasons);
		return "its certificate is not trusted"..(reason and ": "..reason or "");
	end
end

function problems.of_name(conn, host)
	local certificate = conn:socket():getpeercertificate();
	if not certificate or not verify_identity(host, false, certificate) then
		return "its certificate is not for "..host;
	end
end

function problems.of_connection(err)
	err = tostring(err);
	-- What net.resolvers.basic says of a name without addresses.
	if err:find("resolve", 1, true) or err:find(" lookup$") or err:find("IDNA", 1, true) then
		return "its name can't be resolved"..(err:find("unable to resolve", 1, true) and "" or ": "..err);
	end
	return err;
end

return problems;
