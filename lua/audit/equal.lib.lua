-- equal(a, b) -> whether two values are the same; tables are compared by their contents. Functions count as the same: reading a
-- configuration again makes new ones. Tables that are nested more than 20 deep count as different.

local next, rawget, type = next, rawget, type;

local MAX_DEPTH = 20;

local function equal(a, b, depth)
	if a == b or type(a) == "function" and type(b) == "function" then
		return true;
	elseif type(a) ~= "table" or type(b) ~= "table" or depth > MAX_DEPTH then
		return false;
	end
	for key, value in next, a do
		if not equal(value, rawget(b, key), depth + 1) then return false; end
	end
	for key in next, b do
		if rawget(a, key) == nil then return false; end
	end
	return true;
end

return function (a, b)
	return equal(a, b, 1);
end
