// Times in the zone of the reader, and the live view. Everything else works without this file.
(function () {
	"use strict";

	var MOST_ROWS = 200, AGAIN = 10000;

	function two(number) { return (number < 10 ? "0" : "") + number; }

	// Shows times in the reader's zone. UTC stays in the title.
	function localize(root) {
		root.querySelectorAll("time[datetime]").forEach(function (element) {
			var time = new Date(element.dateTime);
			if (isNaN(time)) { return; }
			element.textContent = time.getFullYear() + "-" + two(time.getMonth() + 1) + "-" + two(time.getDate()) + " "
				+ two(time.getHours()) + ":" + two(time.getMinutes()) + ":" + two(time.getSeconds());
		});
	}
	localize(document);

	var panel = document.querySelector("[data-live]");
	if (!panel || !window.EventSource) { return; }
	var button = panel.querySelector("button"), status = panel.querySelector("[role=status]"), list = document.querySelector("ol.lines[data-entries]");
	var source = null, newest = panel.dataset.newest, count = 0, timer = null, seen = Object.create(null);
	panel.hidden = false;

	function say(text) { status.textContent = text; }

	function stop(text) {
		if (source) { source.close(); source = null; }
		clearTimeout(timer);
		button.setAttribute("aria-pressed", "false");
		button.textContent = "Watch live";
		say(text || "");
	}

	function add(event) {
		if (event.lastEventId) {
			// What is read again after a lost connection may overlap what came before.
			if (seen[event.lastEventId]) { return; }
			seen[event.lastEventId] = true;
			newest = event.lastEventId;
		}
		// The server has escaped every text in it.
		var row = new DOMParser().parseFromString("<ol>" + event.data + "</ol>", "text/html").querySelector("li");
		if (!row) { return; }
		row.classList.add("new");
		localize(row);
		list.prepend(document.adoptNode(row));
		while (list.children.length > MOST_ROWS) { list.lastElementChild.remove(); }
		count += 1;
		say(count + (count === 1 ? " new entry" : " new entries"));
		setTimeout(function () { row.classList.remove("new"); }, 2000);
	}

	function start() {
		var url = panel.dataset.live;
		if (newest) { url += (url.indexOf("?") < 0 ? "?" : "&") + "after=" + encodeURIComponent(newest); }
		source = new EventSource(url);
		button.setAttribute("aria-pressed", "true");
		button.textContent = "Stop";
		say("Connecting…");
		source.onopen = function () { say(count ? count + " new entries" : "Waiting for new entries"); };
		source.addEventListener("entry", add);
		source.addEventListener("more", function (event) { say(event.data + " more entries: load the page again to see all"); });
		source.addEventListener("over", function () { stop("The session has ended: sign in again"); });
		source.onerror = function () {
			// The browser itself comes back after a lost connection, but not after a refusal.
			if (source && source.readyState === 2) {
				source = null;
				say("Not connected; trying again soon");
				timer = setTimeout(start, AGAIN);
			}
		};
	}

	button.addEventListener("click", function () {
		if (button.getAttribute("aria-pressed") === "true") { stop(); } else { start(); }
	});
})();
