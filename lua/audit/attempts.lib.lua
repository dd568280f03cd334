-- Logins for which Prosody fires no event. They are recognised by the server's answer, or by the client leaving:
--
--   SASL       attempts that are refused before the mechanism runs (unknown mechanism, no encryption, bad base64, wrong
--              order), aborted, or given up after a challenge
--   SASL2      the same; and all attempts if mod_sasl2 fires no events (Debian 12)
--   XEP-0078   all attempts
--
-- local attempted_mechanism = library "attempts" (audit, record);
--   record(event_type, session, login) is called with login = { username, mechanism, condition, text, fast }
--   attempted_mechanism(session) -> the mechanism of the attempt that is under way | nil

local new_answers = library "answers";
local session_copy = library "details".session_copy;
local nodeprep = require "util.encodings".stringprep.nodeprep;

local setmetatable, type = setmetatable, type;

local xmlns_sasl, xmlns_sasl2 = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2";
local legacy_mechanism = "jabber:iq:auth";
local bosh_interval = 60; -- seconds

-- The attempt that is under way, by session.
local attempts = setmetatable({}, { __mode = "k" });

local function handler_of(session)
	local handler = session.sasl_handler;
	return type(handler) == "table" and handler or {};
end

-- Nothing of a session is left when its connection is closed.
local function copy_of(session)
	local copy = session_copy(session);
	copy.secure, copy.conn = session.secure, session.conn;
	return copy;
end

local function given_up(attempt)
	-- The challenge of OAUTHBEARER means that the token was refused (RFC 7628, 3.2.3).
	attempt.condition = attempt.mechanism == "OAUTHBEARER" and "not-authorized" or "aborted";
	attempt.text = "The client left after the challenge";
	return attempt;
end

-- One handler for all hosts: a server with thousands of them would call thousands.
module:hook("c2s-closed", function (event)
	local attempt = event.session and attempts[event.session];
	if attempt and attempt.left_behind then
		attempt.leave(event.session);
	end
end);

return function (audit, record)
	local answers, module = new_answers(audit), audit.module;

	-- The connection is closed. The client's name and address were copied before.
	local leave = audit:guard("a closed connection", function (session)
		local attempt = attempts[session];
		if attempt and attempt.left_behind then
			attempts[session] = nil;
			record("authentication-failure", attempt.left_behind, given_up(attempt));
		end
	end);

	-- Prosody fires no event when a BOSH session ends.
	local function wait_for_end(session, attempt)
		module:add_timer(bosh_interval, function ()
			if session.destroyed then
				leave(session);
			elseif attempts[session] == attempt and attempt.left_behind then
				return bosh_interval;
			end
		end);
	end

	local function see_answer(stanza, session, attempt)
		local xmlns = stanza.attr.xmlns;
		if xmlns ~= xmlns_sasl and xmlns ~= xmlns_sasl2 then return; end
		local handler = handler_of(session);
		if handler.selected == attempt.mechanism then
			attempt.username = handler.username;
		end
		if stanza.name == "challenge" then
			attempt.left_behind = copy_of(session);
			if session.bosh_responses then
				wait_for_end(session, attempt);
			end
			return true;
		end
		attempt.left_behind = nil;
		if stanza.name ~= "success" then
			attempts[session] = nil;
			if not attempt.reported then
				attempt.condition, attempt.text = answers.condition(stanza);
				if stanza.name == "false" then -- util.sasl.external says this if the certificate has expired
					attempt.condition = "credentials-expired";
				end
				record("authentication-failure", session, attempt);
			end
		elseif xmlns == xmlns_sasl then
			attempts[session] = nil; -- SASL2 fires its events after the answer
		end
		return true;
	end

	-- This runs before the modules that decide.
	local function begin(event)
		local session, stanza = event.origin, event.stanza;
		if session.type ~= "c2s_unauthed" then return; end
		local attempt = attempts[session];
		if stanza.name == "auth" or stanza.name == "authenticate" then
			if attempt and attempt.left_behind then
				record("authentication-failure", session, given_up(attempt));
			end
			attempt = { mechanism = stanza.attr.mechanism, leave = leave, reported = false, username = nil };
		elseif not attempt then
			attempt = { leave = leave };
		end
		attempts[session] = attempt;
		answers.watch(session, see_answer, attempt);
	end
	audit:watch("stanza/"..xmlns_sasl..":auth", begin, 1000);
	audit:watch("stanza/"..xmlns_sasl..":response", begin, 1000);
	audit:watch("stanza/"..xmlns_sasl..":abort", begin, 1000);
	audit:watch("stanza/"..xmlns_sasl2..":authenticate", begin, 1000);
	audit:watch("stanza/"..xmlns_sasl2..":response", begin, 1000);

	-- Attempts with an event are recorded there.
	local function reported(event)
		local attempt = event.session and attempts[event.session];
		if attempt then
			attempt.reported = true;
		end
	end
	audit:watch("authentication-failure", reported, 1000);
	audit:watch("authentication-success", reported, 1000);

	-- From Debian 13 on, mod_sasl2 fires authentication-success at -1500.
	audit:watch("sasl2/c2s/success", function (event)
		local session = event.session;
		local attempt = attempts[session];
		attempts[session] = nil;
		if attempt and not attempt.reported then
			attempt.username, attempt.fast = session.username, handler_of(session).fast;
			record("authentication-success", session, attempt);
		end
	end, -1750);

	audit:watch("stanza/iq/jabber:iq:auth:query", function (event)
		local session, stanza = event.origin, event.stanza;
		local name = stanza.tags[1]:get_child_text("username");
		if session.type ~= "c2s_unauthed" or stanza.attr.type ~= "set" or not name then return; end
		local login = { username = nodeprep(name), mechanism = legacy_mechanism };
		answers.watch_iq(session, stanza, function (answer, kind)
			if kind == "error" then
				login.condition, login.text = answers.condition(answer:get_child("error"));
				record("authentication-failure", session, login);
			elseif session.username then -- otherwise the answer lists the fields that are needed
				record("authentication-success", session, login);
			end
		end);
	end, 1000);
	return function (session)
		local attempt = attempts[session];
		return attempt and attempt.mechanism;
	end
end
