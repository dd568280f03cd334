-- Records connections with other servers (s2s-established and s2s-refused) and of external components (component-authenticated and
-- component-refused). For a component, this module must be enabled on the component.

module:set_global();

local library = module:depends("audit").library;
if not library then return; end -- mod_audit has said why
local new_audit = library "audit";
local details = library "details";

local hosts = prosody.hosts;
local ipairs, pairs, setmetatable, type = ipairs, pairs, setmetatable, type;

-- Other servers --

-- What becomes known of a stream before it is recorded: mechanism and remote (how it authenticated, and as which host), closing (the
-- arguments of close()), verifies (it asked whether a dialback key is ours), recorded (its refusal was recorded). Shared by all hosts,
-- as the host is often not known yet.
local streams = module:shared("/*/audit_s2s/streams");
setmetatable(streams, { __mode = "k" });

local function of_stream(session)
	local stream = streams[session];
	if not stream then
		stream = {};
		streams[session] = stream;
	end
	return stream;
end

local function remote_host(session)
	if session.direction == "outgoing" then return session.to_host; end
	return session.from_host;
end

local function chain_errors(errors)
	if type(errors) ~= "table" then return errors; end
	local found = {};
	for depth = 1, 10 do
		local at_depth = errors[depth];
		for _, err in ipairs(type(at_depth) == "table" and at_depth or { at_depth }) do
			found[#found+1] = err;
		end
	end
	return table.concat(found, ", ");
end

-- certificate(session) -> <certificate/> with the result of its check | nil, if none was checked
local function certificate(session)
	if not session.cert_chain_status then return nil; end
	return details.detail("certificate", {
		chain = session.cert_chain_status;
		identity = session.cert_identity_status;
	}, chain_errors(session.cert_chain_errors));
end

local function get_extra(session, detail)
	local custom = { detail };
	custom[#custom+1] = certificate(session);
	custom[#custom+1] = details.tls(session);
	return { session = session; custom = custom };
end

local function describe_established(event)
	local session = event.session;
	local stream = of_stream(session);
	return nil, "s2s-established", get_extra(session, details.detail("s2s", {
		direction = session.direction;
		-- A stream can be used for several hosts of a server: this is the last one that authenticated.
		remote = stream.remote or remote_host(session);
		mechanism = stream.mechanism;
	}));
end

-- explain_closing(session, closing) -> condition, text, "local" | "remote", which side refused | nothing, if there was no error
local function explain_closing(session, closing)
	local given, said = closing.reason, closing.remote_reason;
	local condition, text = given, nil;
	if type(given) == "table" then
		condition, text = given.condition, given.text;
	end
	if condition == "not-authorized" and condition == given and said then
		return "dialback-failed", said, "remote";
	elseif condition == "not-authorized" and session.secure
		and (session.cert_chain_status ~= "valid" or session.cert_identity_status ~= "valid") then
		return "certificate-invalid", text, "local";
	elseif condition == "policy-violation" and not session.secure and type(text) == "string" and text:find("^Encrypted ") then
		return "encryption-required", text, "local";
	elseif condition then
		return condition, text, "local";
	elseif type(said) == "table" then
		return said.condition, said.text, "remote";
	elseif said == "TLS negotiation failed" then
		return "encryption-failed", said, "remote";
	elseif type(said) == "string" then
		-- "host-unknown (This host does not serve …)"
		condition, text = said:match("^([%l-]+)$") or said:match("^([%l-]+) %((.*)%)$"), said:match("^[%l-]+ %((.*)%)$");
		return condition or "undefined-condition", condition and text or not condition and said or nil, "remote";
	elseif given == false and session.direction == "outgoing" then
		return "stream-closed", nil, "remote";
	end
end

-- The same for a stream without close(): the connection was lost, or never made.
local function explain_failure(session, reason)
	if session.secure == false then
		return "encryption-failed", reason;
	elseif session.direction == "outgoing" then
		return "connection-failed", reason;
	end
end

local server = new_audit(module);

local note_closing = server:guard("the end of a stream", function (closing)
	local stream = of_stream(closing.session);
	stream.closing = stream.closing or { reason = closing.reason; remote_reason = closing.remote_reason };
end);

server:watch("s2s-created", function (event)
	local session = event.session;
	if of_stream(session).watched then return; end
	of_stream(session).watched = true;
	server.watch_close(session, note_closing);
end);

-- By host: the function that records a refusal there. Refusals for hosts that we do not have are recorded on the first of these hosts.
local recorders = {};

local function recorder_for(local_host)
	if hosts[local_host] then return recorders[local_host]; end
	local first;
	for host in pairs(recorders) do
		if not first or host < first then first = host; end
	end
	return recorders[first];
end

server:watch("s2s-destroyed", function (event)
	local session = event.session;
	if session.type ~= "s2sin_unauthed" and session.type ~= "s2sout_unauthed" then return; end
	local local_host = session.direction == "outgoing" and session.from_host or session.to_host;
	local record_refusal = recorder_for(local_host);
	if not record_refusal then return; end
	local stream, remote = of_stream(session), remote_host(session);
	if stream.recorded or not remote then return; end
	local condition, text, by;
	if stream.closing then
		condition, text, by = explain_closing(session, stream.closing);
	else
		condition, text = explain_failure(session, event.reason);
	end
	-- The stop of a server is no refusal, nor is the end of a stream that only verified a dialback key.
	if not condition or condition == "system-shutdown" or condition == "connection-timeout" and stream.verifies then return; end
	record_refusal(session, local_host, remote, condition, text, by);
end);

-- External components --

-- Sessions of components have no fields ip and id.
local function component_session(session)
	return { type = session.type; ip = session.conn and session.conn:ip() };
end

-- On each host --

function module.add_host(module)
	local audit = new_audit(module, "audit");

	local function record_refusal(session, local_host, remote, condition, text, by)
		of_stream(session).recorded = true;
		module:audit(nil, "s2s-refused", get_extra(session, details.detail("s2s", {
			direction = session.direction;
			remote = remote;
			["local"] = local_host ~= module.host and local_host or nil;
			condition = condition;
			by = by;
		}, text)));
	end

	recorders[module.host] = record_refusal;

	function module.unload()
		recorders[module.host] = nil;
	end

	-- mod_s2s runs at -1.
	audit:watch("s2s-authenticated", function (event)
		local stream = of_stream(event.session);
		stream.mechanism, stream.remote = event.mechanism, event.host;
	end, 1);

	audit:hook("s2sin-established", describe_established);
	audit:hook("s2sout-established", describe_established);

	module:hook("stanza/jabber:server:dialback:verify", audit:guard("dialback", function (event)
		local origin, attr = event.origin, event.stanza.attr;
		if origin.direction == "incoming" then
			of_stream(origin).verifies = true;
		elseif attr.type and attr.type ~= "valid" and attr.from == origin.to_host then
			-- The other server says that the key is not its own. Prosody passes that on, and leaves the stream open.
			for session in pairs(prosody.incoming_s2s) do
				if session.streamid == attr.id and session.to_host == module.host and session.hosts[attr.from] then
					record_refusal(session, module.host, attr.from, "dialback-failed", nil, "remote");
				end
			end
		end
	end), 1);

	audit:hook("component-authenticated", function (event)
		return nil, "component-authenticated", { session = component_session(event.session) };
	end);

	local note_component_closing = audit:guard("the end of a component's stream", function (closing)
		local session, reason = closing.session, closing.reason;
		if session.type ~= "component_unauthed" or not reason then return; end
		local condition, text = reason, nil;
		if type(reason) == "table" then
			condition, text = reason.condition, reason.text;
		end
		module:audit(nil, "component-refused", {
			session = component_session(session);
			custom = { details.detail("component", { condition = condition }, text) };
		});
	end);

	-- No event tells that a handshake failed. mod_component runs at -1.
	module:hook("stanza/jabber:component:accept:handshake", audit:guard("component handshake", function (event)
		if event.origin.type == "component_unauthed" then
			audit.watch_close(event.origin, note_component_closing);
		end
	end), 1);
end
