import { defineConfig } from "vite";

// The site serves the bundle from wherever its static files are, so that every address in it is relative.
// The Worker's script and the WebAssembly are files of their own: the site's policy allows neither data: nor blob:.
export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: "../../cloud/pericard_cloud/portal/static/portal/browser",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2023",
    license: { fileName: "licenses.md" },
    rollupOptions: {
      input: "src/client.ts",
      output: { entryFileNames: "client.js", chunkFileNames: "[name]-[hash].js", assetFileNames: "[name]-[hash][extname]" },
    },
  },
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "[name]-[hash].js", assetFileNames: "[name]-[hash][extname]" } } },
});
