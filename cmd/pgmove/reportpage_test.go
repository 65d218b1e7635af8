package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// jsonReport reads a report, as far as the tests look at it.
type jsonReport struct {
	Tables []struct {
		Name           string
		Source, Target *struct{ Table, Indexes int64 }
	}
	Servers  []ServerReport
	Settings []Setting
	Hint     string
	Timeline struct {
		Spans []struct {
			Side, Group, Kind, Object string
			From, To                  float64
			Rows                      int64
		}
		Slowest []struct{ Kind, Object string }
		Rates   []struct{ Bytes []int64 }
	}
	Seconds float64
}

func readReport(t *testing.T, file string) (r jsonReport) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReportFiles: --report may be given twice, the page and the JSON tell the same, and a page can be made later.
func TestReportFiles(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	testbed.SQL(t, p, src, `CREATE TABLE "<script>alert('x')</script>" ("a""b" int); INSERT INTO "<script>alert('x')</script>" VALUES (1)`)
	dir := t.TempDir()
	page, data := filepath.Join(dir, "one, two.html"), filepath.Join(dir, "r.json")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--jobs", "2", "--report", page, "--report", data)
	html := readText(t, page)
	wantText(t, html, "Everything arrived", "public.orders", "20,000", "&lt;script&gt;alert(&#39;x&#39;)", "public.orders_by_customer", "Content-Security-Policy",
		"PostgreSQL "+readReport(t, data).Servers[1].Version)
	if strings.Contains(html, "<script>alert") || strings.Contains(html, p.Password()) {
		t.Error("the page has a table's name as markup, or a password")
	}
	if st, err := os.Stat(page); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the page can be read by others: %v %v", st.Mode(), err)
	}

	r := readReport(t, data)
	var loaded, read int64
	kinds := map[string]int{}
	for _, s := range r.Timeline.Spans {
		kinds[s.Kind]++
		if s.From < 0 || s.To < s.From || s.To > r.Seconds {
			t.Errorf("a span out of time: %+v", s)
		}
		switch s.Kind {
		case "load":
			loaded += s.Rows
		case "read":
			read += s.Rows
		}
	}
	if loaded != 22501 || read != 22501 {
		t.Errorf("the timeline has %d rows read and %d loaded of 22501", read, loaded)
	}
	for _, k := range []string{"read", "load", "index", "check", "analyze", "view", "ddl"} {
		if kinds[k] == 0 {
			t.Errorf("the timeline shows nothing of kind %s: %v", k, kinds)
		}
	}
	sized := 0
	for _, tr := range r.Tables {
		if tr.Source != nil && tr.Target != nil && tr.Source.Table > 0 && tr.Target.Table > 0 {
			sized++
		}
		if tr.Name == "public.orders" && (tr.Source.Indexes == 0 || tr.Target.Indexes == 0) {
			t.Errorf("the sizes of orders: %+v %+v", tr.Source, tr.Target)
		}
	}
	if sized != 4 {
		t.Errorf("%d tables of 4 have sizes on both sides", sized)
	}
	settings := map[string]Setting{}
	for _, s := range r.Settings {
		settings[s.Name] = s
	}
	if s := settings["jobs"]; s.Value != "2" || !s.Given {
		t.Errorf("--jobs is told as %+v", s)
	}
	if s := settings["validate"]; s.Value != "digest" || s.Given {
		t.Errorf("--validate is told as %+v", s)
	}
	if _, ok := settings["source"]; ok {
		t.Error("the source's URL is among the settings")
	}

	// Later, from the JSON: the same page, but for the time it took to write the first.
	mustExit(t, 0, "report", data, "--out", filepath.Join(dir, "later.html"))
	if readText(t, filepath.Join(dir, "later.html")) != html {
		t.Error("the page that was made later is another one")
	}
	mustExit(t, 0, "report", data)
	readText(t, filepath.Join(dir, "r.html"))
	mustExit(t, 0, "validate", "--digests", data, "--target", p.URL(dst))

	// A difference: the page says so, first of all.
	testbed.SQL(t, p, dst, "DELETE FROM log")
	mustExit(t, 30, "validate", "--digests", data, "--target", p.URL(dst), "--report", page)
	wantText(t, readText(t, page), "The target differs from the source", "public.log has 0 rows instead of 500", "Exit code 30")

	// A refusal: there is a page, with the hint.
	mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(dst), "--report", page, "--report", data)
	wantText(t, readText(t, page), "It did not end well", "not empty", "create an empty database for the move")
	if r := readReport(t, data); r.Hint == "" {
		t.Error("the JSON has no hint")
	}
}

// TestReportCommand: what is no report, or no file, is refused with a code and a hint.
func TestReportCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"tables": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 31, "report", bad), "not a report of pgmove")
	wantText(t, mustExit(t, 3, "report"), "--report report.json")
	wantText(t, mustExit(t, 3, "report", filepath.Join(dir, "none.json")), "no such file")
	wantText(t, mustExit(t, 3, "report", bad, "more", "and more"), "unexpected argument")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("a page was written all the same: %v %v", entries, err)
	}
}

// TestSettingsHideSecrets: user and password in a flag's URL are not told.
func TestSettingsHideSecrets(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"s3://bucket/app":                          "s3://bucket/app",
		"https://me:secret@push.example.com/x?a=b": "https://push.example.com/x",
		"https://me:sec%ret@push.example.com":      "(not shown)",
		"/srv/app":                                 "/srv/app",
	} {
		if got := withoutUser(in); got != want {
			t.Errorf("%s is told as %s", in, got)
		}
	}
}
