package page

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/timeline"
)

// hostile are names and messages that would be markup, script or style if they weren't escaped.
var hostile = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title></svg><svg onload=alert(1)>`,
	`</script><script>alert(1)//`, "`${alert(1)}`", `{{.Report}}`, `javascript:alert(1)`, `</style><u>`, `--><u>`}

// made makes up a report with n tables, named as the function says.
func made(n int, name func(int) string) *report {
	r := &report{Command: "run", Tool: "1.2.3", Run: "a-b-c", Started: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC), Seconds: 60}
	res := &result{Level: "digest", Tables: make([]verdictOn, n), Sequences: 3, Schema: 4}
	t := &timeline.Timeline{Step: 0.5, Rates: []timeline.Rate{{Side: "dump", Bytes: []int64{5, 9, 1 << 20}}, {Side: "restore", Bytes: []int64{0, 5}}}}
	for i := range n {
		r.Tables = append(r.Tables, table{Name: name(i), Rows: int64(i), Bytes: int64(1000 * i), Seconds: 1, Verdict: "equal",
			Source: &size{int64(i), 1}, Target: &size{int64(i), 1}})
		r.Rows += int64(i)
		r.Bytes += int64(1000 * i)
		if i < 2000 {
			t.Spans = append(t.Spans, timeline.Span{Side: "dump", Kind: "read", Object: name(i), From: float64(i) / 100, To: float64(i+1) / 100, N: 1, Busy: .01})
		}
	}
	t.Slowest = []timeline.Slow{{Kind: "index", Object: name(0), Seconds: 3}}
	r.Result, r.Timeline = res, t
	r.Sections = []section{{Side: "dump", Name: name(1), Started: r.Started, Seconds: 50}}
	return r
}

func rendered(t *testing.T, r *report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Render(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestHostileNames: nothing that the report says becomes markup, wherever it stands.
func TestHostileNames(t *testing.T) {
	name := func(i int) string { return hostile[i%len(hostile)] }
	r := made(30, name)
	r.Error, r.Hint, r.ExitCode, r.Run, r.Machine = strings.Join(hostile, " "), hostile[0], 30, hostile[1], hostile[2]
	r.Tool, r.Command = hostile[3], hostile[4]
	r.Warnings, r.Roles, r.Result.Unverified, r.Result.Mismatches = hostile, hostile, hostile, hostile
	r.Connections = []connection{{Side: "source", Name: hostile[0], Mode: hostile[1], TLS: hostile[2]}}
	r.Servers = []server{{hostile[0], hostile[1], hostile[2], hostile[3]}}
	for i, h := range hostile {
		r.Settings = append(r.Settings, setting{h, h, i%2 == 0})
		r.Tables[i].Note, r.Tables[i].Verdict = h, h
		r.Timeline.Spans[i].Kind, r.Timeline.Spans[i].Side = h, h
	}
	r.Timeline.Rates[0].Side = hostile[0]
	html := rendered(t, r)
	for _, bad := range []string{"<img", "<u>", "onload=alert(1)>", "onmouseover='alert", "--><"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(strings.ToLower(html), "<script"); n != 1 {
		t.Errorf("%d scripts instead of one", n)
	}
	if n := strings.Count(strings.ToLower(html), "<style"); n != 1 {
		t.Errorf("%d styles instead of one", n)
	}
	if strings.Count(html, "<svg") != strings.Count(html, "</svg>") || strings.Count(html, "<title>")-strings.Count(html, "</title>") != 0 {
		t.Error("an element that isn't ours opens or closes a picture or a title")
	}
	if !strings.Contains(html, "&lt;script&gt;alert(1)") {
		t.Error("the names are not to be seen at all")
	}
}

// TestSelfContained: the page asks for nothing but itself, and what its policy allows is what it holds.
func TestSelfContained(t *testing.T) {
	html := rendered(t, made(5, func(i int) string { return fmt.Sprint("t", i) }))
	for _, bad := range []string{"http://", "https://", " src=", " href=", "@import", "url(", " style=", " onclick", "unsafe-inline"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for element, text := range map[string]string{"style": pageCSS, "script": pageJS} {
		_, rest, _ := strings.Cut(html, "<"+element+">")
		got, _, _ := strings.Cut(rest, "</"+element+">")
		if got != text {
			t.Errorf("the %s was changed: its hash in the policy is of something else", element)
		}
		if !strings.Contains(strings.ReplaceAll(html, "&#43;", "+"), hash(text)) {
			t.Errorf("the policy doesn't allow the %s", element)
		}
	}
	for _, want := range []string{"default-src &#39;none&#39;", "prefers-color-scheme: dark", "@media print", "Everything arrived", "Exit code 0"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestManyTables: ten thousand tables make a page of bounded size, with exact totals, and those that differ on it.
func TestManyTables(t *testing.T) {
	const n = 10000
	r := made(n, func(i int) string { return fmt.Sprintf("public.table_%05d", i) })
	r.Tables[7].Verdict, r.ExitCode = "different", 30
	for i := range 1000 {
		r.Warnings = append(r.Warnings, fmt.Sprint("warning ", i))
	}
	r.Roles = []string{"app_owner"}
	html := rendered(t, r)
	if len(html) > 1<<20 {
		t.Errorf("the page has %d bytes", len(html))
	}
	for _, want := range []string{"Roles created", "<li>app_owner</li>", "public.table_00007<", "public.table_09999<", "9,500 more tables", count(r.Rows), "and 800 more", "all equal"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	rest, shown := r.Rows, int64(0)
	v := newView(r)
	for _, w := range v.Rows {
		shown += w.Rows
	}
	if len(v.Rows) != maxTables || shown+v.Rest.Rows != rest {
		t.Errorf("%d tables with %d rows are shown and %d rows summed up, of %d", len(v.Rows), shown, v.Rest.Rows, rest)
	}
}

// TestHeadlines: the page claims no more than was compared.
func TestHeadlines(t *testing.T) {
	for _, c := range []struct {
		name           string
		change         func(*report)
		headline, next string
	}{
		{"equal", func(*report) {}, "Everything arrived", "validate --digests"},
		{"counted", func(r *report) { r.Result.Level = "count" }, "Every count is equal", "--validate digest"},
		{"not compared", func(r *report) { r.Result = nil }, "Moved, and not compared", "<code>pgmove validate</code>"},
		{"dump", func(r *report) { r.Result, r.Command = nil, "dump" }, "The archive is complete", "pgmove restore"},
		{"different", func(r *report) { r.ExitCode, r.Result.Mismatches = 30, []string{"a"} }, "The target differs", "Don&#39;t switch over"},
		{"outage", func(r *report) { r.ExitCode, r.Error, r.Result = 20, "gone", nil }, "It did not end well", "--resume"},
		{"hint", func(r *report) { r.ExitCode, r.Error, r.Hint = 10, "no", "do this" }, "It did not end well", "do this"},
		{"signal", func(r *report) { r.ExitCode = 143 }, "Stopped by a signal", "--resume"},
		{"nothing begun", func(r *report) { *r = report{Command: "run", Started: r.Started, ExitCode: 3} }, "It did not end well", "Correct the command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := made(3, func(i int) string { return fmt.Sprint("t", i) })
			c.change(r)
			html := rendered(t, r)
			for _, want := range []string{c.headline, c.next} {
				if !strings.Contains(html, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if good := strings.Contains(html, `<h1 class="good">`); good != (c.name == "equal" || c.name == "counted") {
				t.Errorf("green: %v", good)
			}
		})
	}
}

// TestNoReport: what is no report is refused.
func TestNoReport(t *testing.T) {
	for _, s := range []string{"", "[]", "{}", `{"command": 1}`, `{"command": "run"}`} {
		if err := Render(&strings.Builder{}, []byte(s)); err == nil {
			t.Errorf("%q was rendered", s)
		}
	}
}
