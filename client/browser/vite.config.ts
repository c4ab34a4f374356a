import { readFileSync } from "node:fs";
import { type Plugin, defineConfig } from "vite";

/** The licences of what is bundled go with it. */
const licenses: Plugin = {
  name: "licenses",
  generateBundle() {
    const source = ["node-seal", "hash-wasm"].map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`);
    this.emitFile({ type: "asset", fileName: "licenses.txt", source: source.join("\n") });
  },
};

// The site serves the bundle from wherever its static files are, so that every address in it is relative.
// The Worker's script and the WebAssembly are files of their own: the site's policy allows neither data: nor blob:.
export default defineConfig({
  plugins: [licenses],
  base: "./",
  publicDir: false,
  build: {
    outDir: "../../cloud/pericard_cloud/portal/static/portal/browser",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2023",
    rollupOptions: {
      input: "src/client.ts",
      output: { entryFileNames: "client.js", chunkFileNames: "[name]-[hash].js", assetFileNames: "[name]-[hash][extname]" },
    },
  },
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "[name]-[hash].js", assetFileNames: "[name]-[hash][extname]" } } },
});
