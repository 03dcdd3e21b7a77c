"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const PANELS = ["image", "truth", "prediction", "errors"];
  // Okabe and Ito: vermilion and sky blue are told apart by the colour-blind, and differ in lightness too.
  const FALSE_POSITIVE = [213, 94, 0], FALSE_NEGATIVE = [86, 180, 233], WRONG = [204, 121, 167], IGNORED = [128, 128, 128];
  const colors = data.classes.map((c) => [1, 3, 5].map((at) => parseInt(c.color.slice(at, at + 2), 16)));
  const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(4));
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Colours: as the system, light, dark.
  const themes = [["", "◐ auto", "as the system"], ["light", "○ light", "light"], ["dark", "● dark", "dark"]];
  let theme = 0;
  $("theme").addEventListener("click", () => {
    theme = (theme + 1) % themes.length;
    const [value, text, label] = themes[theme];
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    $("theme").textContent = text;
    $("theme").setAttribute("aria-label", `Colours: ${label}`);
  });
  if (!data.pictures.length) return;

  // Pictures: photo and masks are decoded when they come into view, and let go when they leave it.
  const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  async function decoded(picture) {
    const stream = new Blob([bytesOf(picture.masks)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const masks = new Uint8Array(await new Response(stream).arrayBuffer());
    const pixels = picture.width * picture.height;
    let photo = null;
    if (picture.photo) {
      photo = new Image();
      photo.src = `data:image/webp;base64,${picture.photo}`;
      await photo.decode();
    }
    return { photo, truth: masks.subarray(0, pixels), prediction: masks.subarray(pixels) };
  }

  function mix(pixels, at, color, share) {
    for (let i = 0; i < 3; i++) pixels[at + i] += share * (color[i] - pixels[at + i]);
  }

  function paintClasses(pixels, indices, truth) {
    for (let i = 0, at = 0; i < indices.length; i++, at += 4) {
      if (truth[i] >= colors.length) mix(pixels, at, IGNORED, 0.7);
      else if (indices[i] < colors.length && !(data.binary && indices[i] === 0)) mix(pixels, at, colors[indices[i]], 0.6);
    }
  }

  function paintErrors(pixels, truth, prediction, chosen) {
    const of = data.binary ? 1 : chosen;
    for (let i = 0, at = 0; i < truth.length; i++, at += 4) {
      const grey = 70 + 0.6 * (0.3 * pixels[at] + 0.59 * pixels[at + 1] + 0.11 * pixels[at + 2]);
      pixels[at] = pixels[at + 1] = pixels[at + 2] = grey;
      if (truth[i] >= colors.length || truth[i] === prediction[i]) continue;
      if (of === null) mix(pixels, at, WRONG, 0.95);
      else if (prediction[i] === of) mix(pixels, at, FALSE_POSITIVE, 0.9);
      else if (truth[i] === of) mix(pixels, at, FALSE_NEGATIVE, 0.9);
    }
  }

  function draw(canvases, picture, parts, chosen) {
    for (const [kind, canvas] of Object.entries(canvases)) {
      canvas.width = picture.width;
      canvas.height = picture.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.fillStyle = "#808080";
      context.fillRect(0, 0, picture.width, picture.height);
      if (parts.photo) context.drawImage(parts.photo, 0, 0, picture.width, picture.height);
      if (kind === "image") continue;
      const image = context.getImageData(0, 0, picture.width, picture.height);
      if (kind === "errors") paintErrors(image.data, parts.truth, parts.prediction, chosen);
      else paintClasses(image.data, parts[kind], parts.truth);
      context.putImageData(image, 0, 0);
    }
  }

  function panels(parent, picture, most) {
    const canvases = {}, shape = picture.width / picture.height;
    for (const kind of PANELS) {
      const panel = make("span", "panel"), canvas = make("canvas");
      canvas.width = canvas.height = 0;
      canvas.style.aspectRatio = shape; // its place is kept while nothing is drawn
      canvas.style.width = most ? `min(100%, ${most * shape}rem)` : "100%";
      canvas.dataset.kind = kind;
      panel.append(canvas, make("small", "", kind));
      parent.append(panel);
      canvases[kind] = canvas;
    }
    return canvases;
  }

  // The list: filtered by class, score and pick, then sorted.
  const controls = { class: $("class"), sort: $("sort"), show: $("show"), low: $("low"), high: $("high") };
  const chosenClass = () => (controls.class.value === "" ? null : Number(controls.class.value));
  const scoreOf = (picture, chosen) => (chosen === null ? picture.score : picture.ious[chosen]);
  let shown = [];

  function select() {
    const chosen = chosenClass();
    const low = Number(controls.low.value || 0), high = Number(controls.high.value || 1);
    const pick = controls.show.value, everything = low <= 0 && high >= 1 && chosen === null;
    shown = data.pictures.filter((p) => {
      const score = scoreOf(p, chosen);
      if (pick && !p[pick]) return false;
      return score === null ? everything : score >= low && score <= high;
    });
    const byName = (a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0);
    const number = (value) => (value === null || value === undefined ? Infinity : value);
    const orders = {
      worst: (a, b) => number(scoreOf(a, chosen)) - number(scoreOf(b, chosen)) || byName(a, b),
      best: (a, b) => (scoreOf(b, chosen) ?? -1) - (scoreOf(a, chosen) ?? -1) || byName(a, b),
      name: byName,
      change: (a, b) => number(a.change) - number(b.change) || byName(a, b),
    };
    shown.sort(orders[controls.sort.value]);
  }

  const inView = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.target.visible(entry.isIntersecting);
  }, { rootMargin: "600px 0px" });

  function card(picture, position) {
    const chosen = chosenClass(), score = scoreOf(picture, chosen);
    const item = make("li"), button = make("button", "card");
    button.type = "button";
    const word = chosen === null || data.binary ? "IoU" : `IoU of ${data.classes[chosen].name}`;
    button.setAttribute("aria-label", `Open ${picture.label}, ${word} ${figure(score)}`);
    const name = make("span", "name");
    name.append(make("span", "", picture.label), make("small", "", picture.size), make("b", "", figure(score)));
    if (typeof picture.change === "number") {
      const sign = picture.change < 0 ? "−" : "+";
      const change = make("small", "", `${sign}${Math.abs(picture.change).toFixed(4)}`);
      change.title = "change since the earlier evaluation, over all classes";
      name.append(change);
    }
    const row = make("span", "panels");
    const canvases = panels(row, picture, 17);
    button.append(name, row);
    let drawn = false;
    button.visible = async (visible) => {
      if (visible === drawn) return;
      drawn = visible;
      if (!visible) {
        for (const canvas of Object.values(canvases)) canvas.width = canvas.height = 0;
        return;
      }
      const parts = await decoded(picture);
      if (drawn) draw(canvases, picture, parts, chosen);
      button.dataset.drawn = "yes";
    };
    button.addEventListener("click", () => open(position));
    item.append(button);
    inView.observe(button);
    return item;
  }

  function list() {
    select();
    inView.disconnect();
    $("cards").replaceChildren(...shown.map(card));
    $("count").textContent = `${shown.length} of ${data.pictures.length} pictures`;
    legend();
  }

  function legend() {
    const chosen = chosenClass(), entries = [], kinds = [];
    const all = chosen === null && !data.binary;
    if (all) entries.push([WRONG, "wrong class (choose one above to tell false positives from false negatives)"]);
    else {
      const name = data.classes[data.binary ? 1 : chosen].name;
      entries.push([FALSE_POSITIVE, `false positive: ${name}, but is not`], [FALSE_NEGATIVE, `false negative: ${name}, but missed`]);
    }
    for (const [index, c] of data.classes.entries()) {
      if (!(data.binary && index === 0)) kinds.push([colors[index], c.name]);
    }
    kinds.push([IGNORED, "ignored"]);
    const spans = (list) => list.map(([color, text]) => {
      const entry = make("span"), swatch = make("i");
      swatch.style.background = `rgb(${color.join(" ")})`;
      entry.append(swatch, text);
      return entry;
    });
    $("legend").replaceChildren(...spans([...entries, ...kinds]));
    $("large-legend").replaceChildren(...spans(entries));
  }

  // Large: one picture over the page.
  const large = $("large");
  let current = 0, parts = null;

  async function open(position) {
    current = (position + shown.length) % shown.length;
    const picture = shown[current], chosen = chosenClass();
    $("large-title").textContent = picture.label;
    $("large-sub").textContent = `${current + 1} of ${shown.length} · ${picture.size} · ${data.binary ? "IoU" : "mean IoU"} ${figure(picture.score)} · accuracy ${figure(picture.accuracy)}`;
    $("pixel").textContent = "";
    $("panels").replaceChildren();
    // All four within the window, whatever their shape.
    const shape = picture.width / picture.height, abreast = innerWidth <= 720 ? 1 : shape < 0.9 ? 4 : 2;
    const room = (innerHeight * 0.96 - 245) / (4 / abreast);
    $("panels").style.gridTemplateColumns = `repeat(${abreast}, minmax(0, 1fr))`;
    $("panels").style.maxWidth = abreast > 1 ? `${Math.max(320, abreast * room * shape)}px` : "";
    const canvases = panels($("panels"), picture);
    $("figures").replaceChildren(...data.classes.flatMap((c, i) => {
      if (picture.ious[i] === null) return [];
      const chip = make("span", "", c.name);
      chip.append(make("b", "", figure(picture.ious[i])));
      return [chip];
    }));
    if (!large.open) large.showModal();
    parts = null;
    const loaded = await decoded(picture);
    if (shown[current] !== picture) return;
    parts = loaded;
    draw(canvases, picture, parts, chosen);
  }

  $("panels").addEventListener("pointermove", (event) => {
    const canvas = event.target.closest("canvas");
    if (!canvas || !parts) return;
    const box = canvas.getBoundingClientRect(), picture = shown[current];
    const x = Math.floor((event.clientX - box.left) / box.width * picture.width);
    const y = Math.floor((event.clientY - box.top) / box.height * picture.height);
    const at = y * picture.width + x, nameOf = (index, none) => data.classes[index]?.name ?? none;
    $("pixel").textContent = `truth: ${nameOf(parts.truth[at], "ignored")} · prediction: ${nameOf(parts.prediction[at], "no class")}`;
  });
  $("previous").addEventListener("click", () => open(current - 1));
  $("next").addEventListener("click", () => open(current + 1));
  $("close").addEventListener("click", () => large.close());
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  large.addEventListener("close", () => {
    const button = $("cards").children[current]?.firstChild;
    button?.focus();
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    if (large.open) {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); open(current + step); }
      return;
    }
    const item = document.activeElement?.closest?.("#cards > li");
    const other = item && (step < 0 ? item.previousElementSibling : item.nextElementSibling);
    if (item) event.preventDefault();
    other?.firstChild.focus();
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const control of Object.values(controls)) control.addEventListener("input", list);
  list();
})();
