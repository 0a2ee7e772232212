// What the pages do beyond plain HTML: the wrong-patient guard around htmx, and the interactive curve.
"use strict";
(() => {
  const body = document.body;

  // --- wrong-patient guard: no fragment of one patient on the page of another -------------------------------------------
  const expected = () => ({ patient: body.dataset.patient || "", course: body.dataset.course || "" });
  body.addEventListener("htmx:configRequest", (event) => {
    const { patient, course } = expected();
    if (patient) event.detail.headers["X-Auctor-Patient"] = patient;
    if (course) event.detail.headers["X-Auctor-Course"] = course;
  });
  body.addEventListener("htmx:beforeSwap", (event) => {
    const answered = event.detail.xhr.getResponseHeader("X-Auctor-Patient") || "";
    if (event.detail.xhr.status === 409 || event.detail.xhr.status === 422) { event.detail.shouldSwap = true; event.detail.isError = false; }
    if (expected().patient && answered !== expected().patient) { event.detail.shouldSwap = false; refuse(); }
  });
  function refuse() {
    const main = document.getElementById("main"), box = document.createElement("div"), link = document.createElement("a");
    box.className = "note bad"; box.setAttribute("role", "alert");
    box.textContent = "This page is out of date or belongs to another patient. ";
    link.href = location.href; link.textContent = "Load it again"; box.append(link);
    main.replaceChildren(box);
  }
  // a page out of the browser's memory (back button) may show what is no longer true: ask the server again
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // --- the session's end: what is on the screen goes with it, whether or not the server can be reached ---------------------
  const idle = 1000 * Number(body.dataset.idle || 0);
  let used = Date.now();
  function clear() {
    if (!idle || Date.now() - used < idle) return;
    const main = document.createElement("main"), box = document.createElement("div"), link = document.createElement("a");
    box.className = "note"; box.setAttribute("role", "alert"); box.textContent = body.dataset.over + " ";
    link.href = location.href; link.textContent = body.dataset.again; box.append(link); main.append(box);
    document.title = "auctor"; body.replaceChildren(main);
  }
  body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) used = Date.now(); });
  window.setInterval(clear, 5000);
  document.addEventListener("visibilitychange", clear);

  // --- the curve --------------------------------------------------------------------------------------------------------
  const place = document.getElementById("interactive");
  if (!place || !window.uPlot) return;
  const still = document.getElementById("still"), logarithmic = document.getElementById("log-scale"), measured = document.getElementById("show-measured");
  let chart = null;

  fetch(place.dataset.source, { headers: { "X-Auctor-Patient": expected().patient, "X-Auctor-Course": expected().course, "Accept": "application/json" } })
    .then((answer) => (answer.ok && answer.headers.get("X-Auctor-Patient") === expected().patient ? answer.json() : Promise.reject(answer.status)))
    .then((data) => { draw(data, false); logarithmic.disabled = false; for (const box of [logarithmic, measured]) if (box) box.addEventListener("change", () => draw(data, logarithmic.checked)); window.addEventListener("resize", () => chart.setSize(size())); })
    .catch((status) => { if (status === 409) refuse(); });

  const size = () => ({ width: Math.max(260, place.clientWidth - 10), height: 380 });

  function joined(data) {
    // one x axis for the curve and the samples: uPlot wants aligned columns
    const xs = [...new Set([...data.times, ...data.samples.map((s) => s[0])])].sort((a, b) => a - b);
    const at = new Map(data.times.map((t, k) => [t, k]));
    const column = (values) => xs.map((x) => (at.has(x) ? values[at.get(x)] : undefined));
    const marks = (used) => { const found = new Map(data.samples.filter((s) => s[2] === used).map((s) => [s[0], s[1]])); return xs.map((x) => (found.has(x) ? found.get(x) : null)); };
    const bands = [...data.prior.map(column), ...(data.posterior || []).map(column)];
    return [xs, ...bands, ...(shownMeasured(data) ? data.measured.map(column) : []), marks(true), marks(false)];
  }

  const shownMeasured = (data) => data.measured && measured && measured.checked;

  function draw(data, log) {
    const words = data.words, zone = data.zone;
    const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeZone: zone, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    const line = (label, stroke, dash, width) => ({ label, stroke, dash, width, points: { show: false }, spanGaps: true });
    const faint = (label) => ({ label, stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
    const quantiles = (word, stroke, dash) => [faint(word + " 5 %"), faint(word + " 25 %"), line(word, stroke, dash, 2), faint(word + " 75 %"), faint(word + " 95 %")];
    const dots = (label, fill) => ({ label, stroke: "#5b1a12", paths: () => null, points: { show: true, size: 10, fill, stroke: "#5b1a12", width: 1.5 } });
    const series = [{ label: "", value: (u, v) => (v == null ? "" : clock.format(new Date(v * 1000))) }, ...quantiles(words.prior, "#6a7280", [5, 4])];
    const bands = [{ series: [5, 1], fill: "#6a728030" }, { series: [4, 2], fill: "#6a728040" }];
    if (data.posterior) {
      series.push(...quantiles(words.posterior, "#0b4f8a", undefined));
      bands.push({ series: [10, 6], fill: "#3d8fd140" }, { series: [9, 7], fill: "#3d8fd160" });
    }
    if (shownMeasured(data)) series.push(line(words.measured + " 5 %", "#0b4f8a", [1, 4], 1.3), line(words.measured, "#0b4f8a", [1, 4], 1.3));
    series.push(dots(words.sample, "#c0392b"), dots(words.unused, "#ffffff"));
    const least = log ? Math.max(1e-6, 0.5 * Math.min(...[...data.prior[0], ...data.samples.map((s) => s[1])].filter((v) => v > 0))) : 0;
    const options = {
      ...size(), series, bands,
      scales: { x: { time: true }, y: log ? { distr: 3, range: (u, lo, hi) => [Math.max(least, hi / 1e3), hi * 1.1] } : { range: (u, lo, hi) => [0, hi * 1.05] } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      axes: [{ values: (u, ticks) => ticks.map((t) => clock.format(new Date(t * 1000)).replace(", ", "\n").replace(" à ", "\n")), space: 90, size: 52 }, { label: words.level + " (" + data.unit + ")", size: 60 }],
      hooks: { drawClear: [(u) => under(u, data)], draw: [(u) => over(u, data)] },
      legend: { live: true }, cursor: { y: false },
    };
    place.replaceChildren();
    place.hidden = false; still.hidden = true;
    chart = new uPlot(options, joined(data), place);
    place.querySelectorAll(".u-legend tr").forEach((row, k) => { const word = row.querySelector(".u-label"); if (word && / (5|25|75|95) %$/.test(word.textContent)) row.style.display = "none"; });
  }

  function under(u, data) {
    if (!data.target) return;
    const [low, high] = data.target.map((v) => u.valToPos(Math.max(v, u.scales.y.min), "y", true));
    u.ctx.save(); u.ctx.fillStyle = "#dff0d8"; u.ctx.fillRect(u.bbox.left, high, u.bbox.width, low - high); u.ctx.restore();
  }

  function over(u, data) {
    const ctx = u.ctx, { left, top, width, height } = u.bbox, right = left + width, bottom = top + height, ratio = devicePixelRatio || 1;
    ctx.save(); ctx.font = 12 * ratio + "px system-ui, sans-serif"; ctx.textAlign = "center";
    const upright = (seconds, word, dash) => {
      const x = u.valToPos(seconds, "x", true);
      if (x < left || x > right) return;
      ctx.strokeStyle = "#4a5260"; ctx.fillStyle = "#4a5260"; ctx.setLineDash(dash.map((d) => d * ratio));
      ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, bottom); ctx.stroke(); ctx.fillText(word, x, top + 12 * ratio);
    };
    upright(data.cutoff, data.words.cutoff, [1, 4]); upright(data.now, data.words.now, [6, 3]);
    ctx.setLineDash([]); ctx.strokeStyle = "#7a3e9d";
    for (const [seconds, amount] of data.doses) {
      const x = u.valToPos(seconds, "x", true);
      if (x < left || x > right) continue;
      ctx.fillStyle = seconds > data.cutoff ? "#ffffff" : "#7a3e9d";
      ctx.beginPath(); ctx.moveTo(x, bottom - 9 * ratio); ctx.lineTo(x - 5 * ratio, bottom); ctx.lineTo(x + 5 * ratio, bottom); ctx.closePath(); ctx.fill(); ctx.stroke();
    }
    ctx.restore();
  }
})();
