package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
)

// files are the page for people: HTML, CSS and JavaScript as they are served,
// without a build. They hold no data: what the page shows it asks the API for, in
// its reader's name.
//
//go:embed web
var files embed.FS

// asset is one file of the page.
type asset struct {
	kind, tag string
	body      []byte
}

// kinds of files by their endings. The system's own table may differ, so it is not
// asked; a test holds that each file has one.
var kinds = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// page puts the page at / and its parts at /assets/. Whoever asks gets them: a
// browser has nothing to sign in with before the page is there.
func page(mux *http.ServeMux) {
	err := fs.WalkDir(files, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		hash := sha256.Sum256(body)
		a := asset{kinds[path.Ext(name)], `"` + hex.EncodeToString(hash[:12]) + `"`, body}
		pattern := "GET /assets/" + path.Base(name)
		if path.Base(name) == "index.html" {
			pattern = "GET /{$}"
		}
		mux.Handle(pattern, a)
		return nil
	})
	if err != nil {
		panic("the page is not in the binary: " + err.Error()) // it was not built by go build
	}
}

// ServeHTTP lets a browser keep a file for as long as it asks whether it still is
// the same: a new deployment is seen at once.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.tag)
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the caller has gone; there is nobody to tell
	}
}
