-- The state of each host's log as metrics for Prosody's statistics.
--
-- local metrics = library "metrics" (audit_log, statistics);
-- metrics.watch(host_module)   begins with a host
-- metrics.update(host)         sets its metrics and its module status
-- metrics.verified(host, result)   sets what came of a verification: { at, faults, unprotected }
-- metrics.has_news(host)       --> whether they may have changed since update()
-- statistics[host] has functions that count what is recorded and stored.

local time = require "util.time";

local shared = module:shared("/*/audit/log");

local function moment(when)
	return os.date("!%Y-%m-%d %H:%M UTC", math.floor(when));
end

return function (audit_log, statistics)
	local metrics = {};

	function metrics.watch(host_module)
		local host = host_module.host;
		local recorded = host_module:metric("counter", "entries", "", "Audit events recorded", { "type" });
		local handed_over = host_module:metric("counter", "stored", "", "Audit events that the store took", {});
		local seconds = host_module:metric("counter", "handover", "seconds", "Time spent in handing audit events to the store", {});
		local waiting = host_module:metric("gauge", "waiting", "", "Audit events in the journal that the store has not taken yet", {});
		local oldest = host_module:metric("gauge", "oldest_waiting", "seconds", "Age of the oldest of them", {});
		local lost = host_module:metric("gauge", "lost", "", "Audit events that were lost", {});
		local suppressed = host_module:metric("counter", "suppressed", "", "Audit events that flood control counted and did not store", { "type" });
		local unreadable = host_module:metric("gauge", "unreadable_addresses", "", "Audit events with a client address that could not be read", {});
		local verified = host_module:metric("gauge", "chain_verified_timestamp", "", "When the log was last verified, in seconds since 1970", {});
		local tampered = host_module:metric("gauge", "chain_tampered", "", "Faults that were found then: entries that somebody has changed", {});
		local unprotected = host_module:metric("gauge", "chain_unprotected", "", "Audit events without a link, which nothing protects", {});
		local sealed = host_module:metric("gauge", "sealed_timestamp", "", "When the log was last sealed, in seconds since 1970", {});
		local types, type_count, suppressed_before = {}, 0, {};
		local of_host = {};
		statistics[host] = of_host;

		function of_host.recorded(event_type)
			-- Any module can use any number of types.
			if not types[event_type] then
				if type_count >= 100 then
					event_type = "other";
				end
				types[event_type] = recorded:with_labels(event_type);
				type_count = type_count + 1;
			end
			types[event_type]:add(1);
			of_host.has_news = true;
		end

		function of_host.handed_over(entries, time_spent)
			handed_over:with_labels():add(entries);
			seconds:with_labels():add(time_spent);
			of_host.has_news = true;
		end

		function of_host.verified(result)
			verified:with_labels():set(result.at);
			tampered:with_labels():set(result.faults);
			unprotected:with_labels():set(result.unprotected);
			of_host.faults, of_host.verified_at = result.faults, result.at;
			of_host.update();
		end

		function of_host.update()
			local state = audit_log.state(host);
			of_host.has_news = state.moving ~= nil;
			waiting:with_labels():set(state.waiting);
			oldest:with_labels():set(state.oldest and math.max(0, time.now() - state.oldest) or 0);
			lost:with_labels():set(state.lost);
			unreadable:with_labels():set(state.unreadable_addresses);
			for event_type, count in pairs(state.suppressed) do
				suppressed:with_labels(event_type):add(count - (suppressed_before[event_type] or 0));
			end
			suppressed_before = state.suppressed;
			local seals = shared.sealing and shared.sealing.state(host) or {};
			if seals.at then sealed:with_labels():set(seals.at); end
			if (of_host.faults or 0) > 0 then
				host_module:set_status("error", ("somebody has changed the log: %d faults; prosodyctl mod_audit --verify %s"):format(
					of_host.faults, host));
			elseif state.problem then
				host_module:set_status("error", ("%d events wait: %s"):format(state.waiting, state.problem));
			elseif state.moving and state.moving.problem then
				host_module:set_status("warn", ("events can't be moved from the storage driver %s: %s"):format(
					state.moving.from, state.moving.problem), true);
			elseif state.lost > 0 then
				host_module:set_status("warn", ("%d events were lost"):format(state.lost), true);
			else
				local text = ("%d events wait"):format(state.waiting);
				if state.suppressed_lately > 0 then
					text = text..(", %d suppressed in the last minute"):format(state.suppressed_lately);
				end
				if state.moving then
					text = text..(", %d were moved from the storage driver %s, %d partitions are left"):format(
						state.moving.moved, state.moving.from, state.moving.left);
				end
				if of_host.verified_at then
					text = text..", verified at "..moment(of_host.verified_at);
				end
				if seals.at then
					text = text..", sealed at "..moment(seals.at);
				end
				host_module:set_status("info", text, true);
			end
		end
		of_host.update();
	end

	function metrics.update(host)
		if statistics[host] then statistics[host].update(); end
	end

	function metrics.verified(host, result)
		if statistics[host] then statistics[host].verified(result); end
	end

	function metrics.has_news(host)
		return statistics[host] and statistics[host].has_news;
	end

	return metrics;
end
