// What is wrong with a page for somebody who uses a keyboard, a screen reader, or has weak eyes: a list of sentences.
(function () {
	var wrong = [];
	function say(what, element) { wrong.push(what + ": " + (element ? element.outerHTML.slice(0, 120) : "")); }
	function seen(element) { return element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden"; }
	function name(element) {
		var label = element.getAttribute("aria-label") || element.textContent.trim();
		if (!label && element.id) {
			var made = document.querySelector("label[for=\"" + element.id + "\"]");
			label = made && made.textContent.trim();
		}
		return label;
	}

	if (!document.documentElement.lang) { say("no language"); }
	if (!document.title) { say("no title"); }
	if (document.querySelectorAll("h1").length !== 1) { say("not one h1"); }
	if (document.querySelectorAll("main").length !== 1) { say("not one main"); }
	var level = 1;
	document.querySelectorAll("h1, h2, h3").forEach(function (heading) {
		var own = Number(heading.tagName[1]);
		if (own > level + 1) { say("a heading leaves a level out", heading); }
		level = own;
	});
	document.querySelectorAll(".ways a").forEach(function (link) {
		if (link.getClientRects().length > 1) { say("a link goes on in another line", link); }
	});
	var ids = {};
	document.querySelectorAll("[id]").forEach(function (element) {
		if (ids[element.id]) { say("an id twice", element); }
		ids[element.id] = true;
	});
	["aria-labelledby", "aria-describedby", "for"].forEach(function (attribute) {
		document.querySelectorAll("[" + attribute + "]").forEach(function (element) {
			if (!document.getElementById(element.getAttribute(attribute))) { say("refers to nothing", element); }
		});
	});
	document.querySelectorAll("a[href], button, input:not([type=hidden]), select").forEach(function (element) {
		if (!name(element)) { say("has no name", element); }
	});
	document.querySelectorAll("[style], [onclick], iframe, object, embed, script:not([src])").forEach(function (element) { say("not allowed", element); });
	if (document.documentElement.scrollWidth > innerWidth) { say("wider than the window, " + document.documentElement.scrollWidth); }

	// Contrast (WCAG 2.2, 1.4.3).
	function channel(value) { value /= 255; return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4); }
	function luminance(color) { return 0.2126 * channel(color[0]) + 0.7152 * channel(color[1]) + 0.0722 * channel(color[2]); }
	function parse(color) { return (color.match(/[\d.]+/g) || []).map(Number); }
	function ground(element) {
		for (; element; element = element.parentElement) {
			var color = parse(getComputedStyle(element).backgroundColor);
			if (color.length === 3 || color[3] > 0) { return color; }
		}
		return [255, 255, 255];
	}
	var walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), told = {};
	while (walker.nextNode()) {
		var element = walker.currentNode.parentElement;
		if (!walker.currentNode.textContent.trim() || !seen(element) || element.closest("svg, .skip, .unseen")) { continue; }
		var own = luminance(parse(getComputedStyle(element).color)), behind = luminance(ground(element));
		var contrast = (Math.max(own, behind) + 0.05) / (Math.min(own, behind) + 0.05);
		if (contrast < 4.5 && !told[element.className + element.tagName]) {
			told[element.className + element.tagName] = true;
			say("a contrast of " + contrast.toFixed(2), element);
		}
	}
	return wrong;
})()
