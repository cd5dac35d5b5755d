// Milliseconds between the frames of so long a time.
(ms) =>
  new Promise((resolve) => {
    const gaps = [];
    let before = performance.now();
    const until = before + ms;
    const frame = (now) => {
      gaps.push(now - before);
      before = now;
      if (now < until) requestAnimationFrame(frame);
      else resolve(gaps.slice(1));
    };
    requestAnimationFrame(frame);
  });
