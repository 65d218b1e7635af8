// Package page renders a report as one HTML file that needs nothing else: no script to be read,
// no other file, no network.
//
// It reads the report's JSON form and imports nothing of pgmove but its timeline. All that the report says is
// hostile until it is escaped: names of objects come from the source, and html/template sees to them.
package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": func(n any) string {
		switch n := n.(type) {
		case int:
			return count(n)
		case int64:
			return count(n)
		}
		return fmt.Sprint(n)
	},
	"bytes": bytes,
	"took":  took,
	"px":    func(f float64) string { return fmt.Sprintf("%.1f", f) },
	"half":  func(a, b float64) float64 { return a + b/2 },
	"add":   func(a, b float64) float64 { return a + b },
}).Parse(pageHTML))

// Render writes the page for a report in its JSON form. An error is the JSON's, or w's.
func Render(w io.Writer, report []byte) error {
	v, err := read(report)
	if err != nil {
		return err
	}
	return tmpl.Execute(w, v)
}

func read(b []byte) (*view, error) {
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	if r.Command == "" || r.Started.IsZero() {
		return nil, fmt.Errorf("it names no command and no time")
	}
	v := newView(&r)
	// What stands in the page and nothing else may run or style it.
	v.CSS, v.JS = template.CSS(pageCSS), template.JS(pageJS)
	v.Policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", hash(pageCSS), hash(pageJS))
	return v, nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
