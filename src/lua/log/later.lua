-- later(make, names) -> the functions with these names of the table that make() returns. It is called when one of them is called first.
--
-- Prosody's garbage collector looks at each object of the heap again and again, also at those that are never used. What a server does
-- once a day, or never, has no objects before.
return function (make, names)
	local made;
	local functions = {};
	for name in names:gmatch("%S+") do
		functions[name] = function (...)
			made = made or make();
			return made[name](...);
		end
	end
	return functions;
end
