"use strict";
/* Draws every chart of the page from the data beside it, follows the colour scheme, and keeps labels in the frame. */
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function colours() {
    return dark.matches
      ? { ink: "#e6edf3", grid: "rgba(139, 148, 158, 0.28)", ground: "#161b22" }
      : { ink: "#24292f", grid: "rgba(128, 136, 148, 0.25)", ground: "#ffffff" };
  }

  function axesOf(layout) {
    return Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  }

  function dress(layout) {
    const now = colours();
    layout.font = Object.assign({}, layout.font, { color: now.ink });
    layout.hoverlabel = Object.assign({}, layout.hoverlabel, {
      bgcolor: now.ground, bordercolor: now.grid, font: { color: now.ink },
    });
    for (const key of axesOf(layout)) {
      Object.assign(layout[key], { gridcolor: now.grid, zerolinecolor: now.grid, linecolor: now.grid });
    }
    if (layout.polar) {
      for (const axis of ["radialaxis", "angularaxis"]) {
        layout.polar[axis] = Object.assign({}, layout.polar[axis], { gridcolor: now.grid, linecolor: now.grid });
      }
    }
    return layout;
  }

  function draw(plot) {
    const held = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    plot.style.height = held.layout.height + "px";
    return Plotly.react(plot, held.data, dress(held.layout), {
      responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false,
    });
  }

  function all() {
    return Promise.all(Array.from(document.querySelectorAll(".plot[data-figure]"), draw)).then(function () {
      document.documentElement.dataset.drawn = "true";
    });
  }

  dark.addEventListener("change", all);
  window.addEventListener("beforeprint", all);
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", all);
  } else {
    all();
  }
})();
