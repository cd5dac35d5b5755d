// Contrast of every visible text with the ground behind it (4.5, or 3 for large text): what falls short.
() => {
  const parse = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(")
      ? [found[0] * 255, found[1] * 255, found[2] * 255, found[3] ?? 1]
      : [found[0], found[1], found[2], found[3] ?? 1];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((one) => {
      const v = one / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (el) => {
    for (let at = el; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
      if (at.classList.contains("side") && matchMedia("(min-width: 861px)").matches)
        return parse(getComputedStyle(document.querySelector(".card, .tile")).backgroundColor);
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const wrong = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    if (
      !walk.currentNode.data.trim() ||
      !el.checkVisibility() ||
      el.closest(".unseen, .leaving, noscript, option, [disabled], [data-stale]")
    )
      continue;
    const style = getComputedStyle(el);
    const ink = parse(el instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large =
      parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5))
      wrong.add(
        `${ratio.toFixed(2)}: ${el.className?.baseVal ?? el.className} "${walk.currentNode.data.trim().slice(0, 40)}"`,
      );
  }
  return [...wrong];
};
