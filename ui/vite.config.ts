import { defineConfig } from "vite";

export default defineConfig({
  // Relative, so that the pages also work behind a proxy that serves them under a prefix.
  base: "./",
  build: {
    outDir: process.env.GENUS_PAGES_OUT ?? "../genus/serve/pages",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The content policy allows no data: address, so nothing may be inlined as one.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The notices that the licences of the libraries in the bundle ask for.
    license: { fileName: "licences.md" },
    // KaTeX alone is larger, and is loaded only when a text has maths in it.
    chunkSizeWarningLimit: 400,
  },
});
