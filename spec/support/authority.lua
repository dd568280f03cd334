-- Certificate authorities for the tests.
--
--   local ours = require "support.authority".new();
--   ours.certificate                                     -- the path of its own certificate
--   local certificate, key = ours:issue("localhost")     -- the paths of a certificate of that name, and of its key
--   ours:issue("localhost", { is_expired = true })

local process = require "support.process";

local quote = process.quote;
local KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

local authority = {};
local methods = {};
local authority_mt = { __index = methods };

function authority.new()
	local folder = process.new_folder("authority");
	process.run(("cd %s && openssl req -x509 %s -days 3650 -subj '/CN=An authority' -keyout ca.key -out ca.crt 2>/dev/null"):format(quote(folder), KEY));
	return setmetatable({ folder = folder; certificate = folder.."/ca.crt"; issued = 0 }, authority_mt);
end

function methods:issue(name, options)
	self.issued = self.issued + 1;
	local file = ("%s/%d"):format(self.folder, self.issued);
	process.run(("cd %s && { openssl req -new %s -subj %s -addext %s -keyout %s.key -out %s.csr && "
		.."openssl x509 -req -in %s.csr -CA ca.crt -CAkey ca.key -days %d -copy_extensions copy -out %s.crt; } 2>/dev/null"):format(
		quote(self.folder), KEY, quote("/CN="..name), quote("subjectAltName=DNS:"..name), file, file,
		file, options and options.is_expired and -1 or 3650, file));
	return file..".crt", file..".key";
end

return authority;
