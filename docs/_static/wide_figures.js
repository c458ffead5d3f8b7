// On a telephone wide figures of tutorials scroll: their labels could not be read (custom.css says how).
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll("img.sphx-glr-single-img, img.sphx-glr-multi-img")) {
    const wrap = () => {
      if (image.naturalWidth <= 600) return;
      const box = document.createElement("div");
      box.className = "wide";
      image.replaceWith(box);
      box.append(image);
    };
    if (image.complete) wrap();
    else image.addEventListener("load", wrap, { once: true });
  }
});
