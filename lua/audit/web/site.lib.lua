-- The site at /audit of a host: which request is answered by what. It is made with the first request.

local core = require "audit_core";

local answers = library "web/answers";
local new_access = library "web/access";
local new_api = library "web/api";
local new_live = library "web/live";
local new_own = library "web/own";
local new_pages = library "web/pages";
local readings = library "reading/readings";

local web = core.web;

local files = {
	["style.css"] = answers.file("text/css; charset=utf-8", web.style);
	["script.js"] = answers.file("text/javascript; charset=utf-8", web.script);
	["icon.svg"] = answers.file("image/svg+xml", web.icon);
};

local function missing()
	return answers.notice(404, "Not found", "There is no such page.");
end

-- new_site(audit) -> { get(event, path), post(event, path) -> answer; access, api, live }
return function (audit)
	local host = audit.module.host;
	local access = new_access(audit);
	local pages = new_pages(audit);
	local live = new_live(audit, access, pages);
	local own = new_own(host);
	local api = new_api(audit, access, pages);
	local site = { access = access; api = api; live = live };

	local function sign_in_page(request)
		local form = web.form(request.url.query or "");
		local link = form and form.link;
		local account, is_own = access.guest(link or "");
		if not account then
			return answers.notice(410, "This link can't be used", "It was used, or is older than ten minutes. Ask for another one.");
		end
		return answers.page(web.sign_in(link, account, host, is_own));
	end

	local function sign_in(request)
		local form = answers.is_own(request) and answers.form(request);
		local headers, account, is_own = nil, nil, nil;
		if form and form.link then
			headers, account, is_own = access.admit(form.link);
		end
		if not headers then
			return answers.notice(403, "This link can't be used", "It was used, or is older than ten minutes. Ask for another one.");
		elseif not is_own then
			readings.record(host, { through = "http"; actor = pages.actor(request, account) });
		end
		return answers.go_to("./", headers);
	end

	local function sign_out(request, reader)
		local form = answers.is_own(request) and answers.form(request);
		local headers = form and form.csrf and access.leave(reader, form.csrf);
		if not headers then
			return answers.notice(403, "Not allowed", "This form was not made for this session.");
		end
		headers.clear_site_data = "\"cache\"";
		return answers.go_to("./", headers);
	end

	-- For administrators. Others see the page of their own account.
	local of_admins = {
		[""] = function (event, reader) return pages.show("log", event, reader); end;
		account = function (event, reader) return pages.show("account", event, reader); end;
		network = function (event, reader) return pages.show("network", event, reader); end;
		download = pages.download;
		live = live.watch;
	};

	function site.get(event, path)
		local request = event.request;
		if files[path] then
			return files[path];
		elseif not answers.is_safe(request) then
			return answers.notice(403, "Not over HTTP", "This page is for HTTPS only. Behind a proxy, see docs/web.md.");
		elseif path == "api/v1/openapi.json" then
			return answers.json(200, web.openapi());
		elseif path == "api/v1/entries" or path == "api/v1/stats" then
			return api.answer(path:match("%a+$"), event);
		elseif path == "api/v1/verify" then
			return api.verify(request);
		elseif path == "sign-in" then
			return sign_in_page(request);
		end
		local reader = access.enter(request);
		if not reader then
			if path ~= "" and not of_admins[path] then return missing(); end
			return answers.notice(403, "Sign in", "Open a link: an administrator gets one by prosodyctl mod_audit --link, and everybody by the "
				.."ad-hoc commands of the server.");
		elseif reader.is_own then
			return path == "" and own.show(request, reader) or missing();
		elseif of_admins[path] then
			return of_admins[path](event, reader);
		end
		return missing();
	end

	function site.post(event, path)
		local request = event.request;
		if not answers.is_safe(request) then
			return answers.notice(403, "Not over HTTP", "This page is for HTTPS only. Behind a proxy, see docs/web.md.");
		elseif path == "sign-in" then
			return sign_in(request);
		end
		local reader = access.enter(request);
		if path == "sign-out" and reader then
			return sign_out(request, reader);
		elseif path == "sign-out" then
			return answers.go_to("./");
		end
		return missing();
	end

	return site;
end
