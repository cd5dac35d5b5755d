// When a text was first seen on the page, in milliseconds since 1970.
(text) =>
  new Promise((resolve) => {
    const look = () => {
      if (document.querySelector("main").innerText.includes(text)) resolve(Date.now());
      else requestAnimationFrame(look);
    };
    look();
  });
