-- An external component (XEP-0114), by raw streams.
--
--   local component = require "support.component_client";
--   local stream = component.connect(prosody, "gateway.test");
--   component.handshake(stream, "secret")                --> true | false, condition, text
--   stream:close();

local process = require "support.process";
local raw_client = require "support.raw_client";

local component_client = {};

function component_client.connect(server, host)
	local stream, header = raw_client.stream(server.component_port, ("xmlns='jabber:component:accept' to='%s'"):format(host));
	stream.id = assert(header:match(" id=['\"]([^'\"]+)"));
	return stream;
end

function component_client.handshake(stream, secret)
	local _, output = process.capture({ "sha1sum" }, { stdin = stream.id..secret });
	assert(stream:send("<handshake>"..output:match("^%x+").."</handshake>"));
	local answer = assert(stream:receive_until("<handshake ?/>", "<handshake></handshake>", "</stream:stream>"));
	if not answer:find("<stream:error", 1, true) then
		return true;
	end
	return false, answer:match("<stream:error[^>]*><([%w-]+)"), answer:match("<text[^>]*>(.-)</text>");
end

return component_client;
