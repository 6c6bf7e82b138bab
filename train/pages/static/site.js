// The switch between light and dark. Without this file the site follows the system's setting.
"use strict";
(function () {
  const KEY = "cxr-vlp theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch (error) {
      return null; // a browser may refuse storage to pages that are opened from a folder
    }
  }

  function store(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch (error) {
      // the choice then lasts for this page only
    }
  }

  function isDark() {
    const theme = root.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function show(button) {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
  }

  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.getElementById("theme");
    button.hidden = false;
    show(button);
    button.addEventListener("click", function () {
      root.dataset.theme = isDark() ? "light" : "dark";
      store(root.dataset.theme);
      show(button);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
      show(button);
    });
    // a link to a part of a page opens the fold-outs around it
    function open() {
      const place = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
      for (let part = place; part; part = part.parentElement) {
        if (part.tagName === "DETAILS") part.open = true;
      }
    }
    open();
    addEventListener("hashchange", open);
  });

  // on paper every fold-out is open, apart from those that only a screen shows (site.css)
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open]):not(.screen)").forEach(function (part) {
      part.dataset.closed = "";
      part.open = true;
    });
  });
  addEventListener("afterprint", function () {
    document.querySelectorAll("details[data-closed]").forEach(function (part) {
      delete part.dataset.closed;
      part.open = false;
    });
  });
})();
