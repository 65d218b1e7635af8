package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/internal/bars"
	"github.com/pgmove/pgmove/internal/pace"
	"github.com/pgmove/pgmove/stream"
)

// jsonLines reads a log.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("no JSON: %q", l)
		}
		lines = append(lines, m)
	}
	return lines
}

// named returns the lines of one msg.
func named(lines []map[string]any, msg string) []map[string]any {
	return slices.DeleteFunc(slices.Clone(lines), func(m map[string]any) bool { return m["msg"] != msg })
}

// gateway is a Pushgateway that keeps the last push to each path.
type gateway struct {
	*httptest.Server
	mu     sync.Mutex
	pushed map[string]string
	user   string
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{pushed: map[string]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pushed[r.Method+" "+r.URL.Path] = string(b)
		g.user, _, _ = r.BasicAuth()
	}))
	t.Cleanup(g.Close)
	return g
}

// TestWatchedRun moves a database and looks at all that tells of it.
func TestWatchedRun(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	g := newGateway(t)
	dir := t.TempDir()
	metrics, last := filepath.Join(dir, "pgmove.prom"), filepath.Join(dir, "last")
	url := strings.Replace(g.URL, "http://", "http://me:canary-of-push@", 1) + "/metrics/job/nightly/database/shop"
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--jobs", "2", "--log-format", "json", "--listen", "127.0.0.1:0",
		"--metrics-file", metrics, "--push-gateway", url, "--termination-log", last}
	code, out, errs := pgmove(t, args...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	wantText(t, out, "total (3)", "equal")
	lines := jsonLines(t, errs)
	if len(named(lines, "start")) != 1 || lines[0]["msg"] != "start" || lines[len(lines)-1]["msg"] != "end" {
		t.Errorf("start and end:\n%s", errs)
	}
	tables := map[string]float64{}
	for _, l := range named(lines, "table") {
		tables[l["table"].(string)] = l["rows"].(float64)
	}
	if want := map[string]float64{"public.customer": 2000, "public.orders": 20000, "public.log": 500}; !maps.Equal(tables, want) {
		t.Errorf("tables: %v", tables)
	}
	phases := map[string]int{}
	for _, l := range named(lines, "phase") {
		phases[fmt.Sprint(l["side"], " ", l["phase"])]++
	}
	for _, phase := range []string{"dump schema", "dump data", "restore pre-data", "restore data and indexes", "validate schema"} {
		if phases[phase] != 2 {
			t.Errorf("phase %q was told %d times, not at its begin and its end: %v", phase, phases[phase], phases)
		}
	}
	end := lines[len(lines)-1]
	if end["verdict"] != "equal" || end["exit_code"] != 0.0 || end["rows"] != 22500.0 || end["run"] == "" {
		t.Errorf("the end: %v", end)
	}
	file, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	push, user := g.pushed["POST /metrics/job/nightly/database/shop"], g.user
	g.mu.Unlock()
	if push == "" || user != "me" {
		t.Errorf("nothing was pushed, or by %q", user)
	}
	for _, want := range []string{`pgmove_rows_total{side="restore"} 22500`, `pgmove_rows_total{side="dump"} 22500`, `pgmove_rows_total{side="validate"} 22500`,
		`pgmove_chunks{side="restore",state="done"} 3`, `pgmove_chunks{side="restore",state="waiting"} 0`, `pgmove_progress_ratio{work="load_data"} 1`,
		`pgmove_progress_ratio{work="indexes"} 1`, "pgmove_exit_code 0", "pgmove_validation_mismatches 0", "pgmove_last_success_timestamp_seconds "} {
		if !strings.Contains(string(file), want+"\n") && !(strings.HasSuffix(want, " ") && strings.Contains(string(file), "\n"+want)) {
			t.Errorf("the file lacks %q:\n%s", want, file)
		}
	}
	var message ending
	b, err := os.ReadFile(last)
	if err != nil || json.Unmarshal(b, &message) != nil || message.Verdict != "equal" || message.Rows != 22500 || message.Resume || message.Bytes == 0 {
		t.Errorf("the termination message: %v %s", err, b)
	}
	if strings.Contains(out+errs+push+string(file)+string(b), "canary-of-push") {
		t.Error("the gateway's password shows")
	}
	// A run that fails tells so, and when one last succeeded is not forgotten.
	code, out, errs = pgmove(t, args...)
	if code != 10 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	lines = jsonLines(t, errs)
	if end := lines[len(lines)-1]; end["level"] != "ERROR" || end["exit_code"] != 10.0 || end["error"] == "" || end["hint"] == "" || end["resume"] != false {
		t.Errorf("the end: %v", end)
	}
	again, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	success := regexp.MustCompile(`(?m)^pgmove_last_success_timestamp_seconds .*$`)
	if s := success.Find(again); s == nil || !bytes.Equal(s, success.Find(file)) || !strings.Contains(string(again), "pgmove_exit_code 10\n") {
		t.Errorf("after a failure:\n%s", again)
	}
	if b, err = os.ReadFile(last); err != nil || json.Unmarshal(b, &message) != nil || message.ExitCode != 10 || message.Error == "" || message.Hint == "" {
		t.Errorf("the termination message: %v %s", err, b)
	}
}

// countedOnce checks what a run of which chunks came again told: that they did, and no row twice.
func countedOnce(t *testing.T, out string) {
	t.Helper()
	var log []string
	total := ""
	for _, l := range strings.Split(out, "\n") {
		if strings.HasPrefix(l, "{") {
			log = append(log, l)
		} else if strings.HasPrefix(l, "total (") {
			total = strings.Fields(l)[2]
		}
	}
	lines := jsonLines(t, strings.Join(log, "\n"))
	if len(named(lines, "retry")) == 0 {
		t.Errorf("no retry was told:\n%s", out)
	}
	ends := named(lines, "end")
	if len(ends) != 1 || fmt.Sprintf("%.0f", ends[0]["rows"]) != total {
		t.Errorf("%s rows in the table of results, at the end were told: %v", total, ends)
	}
}

// TestQuiet: nothing is told where all is well, and warnings and errors where it isn't.
func TestQuiet(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	if code, out, errs := pgmove(t, "run", "-q", "--log-format", "text", "--source", p.URL(src), "--target", p.URL(dst)); code != 0 || out != "" || errs != "" {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	g := newGateway(t)
	g.Close()
	code, out, errs := pgmove(t, "validate", "-q", "--log-format", "text", "--push-gateway", g.URL, "--source", p.URL(src), "--target", p.URL(dst))
	if code != 0 || out != "" || strings.Count(errs, "warning: the metrics could not be pushed") != 1 {
		t.Errorf("a gateway that isn't there: exit code %d, %q, %q", code, out, errs)
	}
}

// TestWatchUsage: what is wrong with these flags is told before anything is connected to.
func TestWatchUsage(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range [][]string{
		{"--log-format", "xml"}, {"--listen", "nowhere:http:1"}, {"--listen", taken.Addr().String()}, {"--listen", "192.0.2.1:9090"},
		{"--metrics-file", filepath.Join(t.TempDir(), "no", "such", "folder", "file")}, {"--push-gateway", "host:9091"}, {"--push-gateway", "http://"},
		{"--push-gateway", "http://h/metrics/job/a/b"}, {"--push-gateway", "http://h/?token=secret-of-a-query"}, {"--push-gateway", "http://h/metrics/job/"},
	} {
		out := mustExit(t, 3, append([]string{"run", "--source", "postgres://127.0.0.1:1/no", "--target", "postgres://127.0.0.1:1/no"}, c...)...)
		if !strings.Contains(out, c[0]) || !strings.Contains(out, "hint:") && c[0] != "--log-format" || strings.Contains(out, "secret") {
			t.Errorf("%v: %s", c, out)
		}
	}
}

// TestListener asks a run under way, as Prometheus and Kubernetes do.
func TestListener(t *testing.T) {
	t.Parallel()
	y := pace.New("run")
	feed(y)
	m := newMeters0(y)
	l, err := startListener("127.0.0.1:0", y, m)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	if code, text := get("GET", "/healthz"); code != 200 || !strings.HasPrefix(text, "ok\n") {
		t.Errorf("/healthz: %d %s", code, text)
	}
	code, text := get("GET", "/progress")
	var s pace.Status
	if err := json.Unmarshal([]byte(text), &s); code != 200 || err != nil || s.Command != "run" || len(s.Bars) != 5 || len(s.Working) != 1 || s.Working[0].Object != "public.t" {
		t.Errorf("/progress: %d %v %s", code, err, text)
	}
	code, text = get("GET", "/metrics")
	if code != 200 {
		t.Errorf("/metrics: %d %s", code, text)
	}
	wantText(t, text, `pgmove_chunks{side="dump",state="running"} 1`, "# TYPE pgmove_rows_total counter", `pgmove_phase_info{phase="data",side="dump"} 1`, `pgmove_retries_total{side="dump"} 1`)
	if code, _ := get("GET", "/debug/pprof/"); code != 404 {
		t.Errorf("another path: %d", code)
	}
	if code, _ := get("POST", "/metrics"); code != 405 {
		t.Errorf("POST: %d", code)
	}
}

// newMeters0 are meters that go nowhere.
func newMeters0(y *pace.Tally) *meters {
	m := &meters{tally: y}
	m.register()
	return m
}

// feed makes a tally show all that one can show.
func feed(y *pace.Tally) {
	o := stream.Observer(func(e stream.Event) { y.Observe(e) })
	for _, side := range []string{"dump", "restore", "validate", "verify"} {
		o.Send(stream.Event{Kind: stream.EventPhase, Side: side, Text: "data"})
		o.Send(stream.Event{Kind: stream.EventPlan, Side: side, What: stream.WorkChunk, Count: 3, Bytes: 3 << 20})
	}
	o.Send(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkEntry, Section: stream.PostData, Count: 3, Bytes: 3 << 20})
	job := o.Begin(stream.WithWorker(context.Background(), 1), stream.Event{Side: "dump", What: stream.WorkChunk, Object: "public.t", Entry: 1, Parts: 3, Planned: 1 << 20})
	job.Pass(1 << 20)
	o.Retry("dump", "public.t", "it comes again")
	o.Warn("dump", "a warning")
}

// documented returns the names in the first column of the tables of a section of docs/progress.md, and for each the code words of its second.
func documented(t *testing.T, section string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "progress.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(b), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/progress.md has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	code := regexp.MustCompile("`([a-z_]+)`")
	names := map[string][]string{}
	for _, l := range strings.Split(text, "\n") {
		cells := strings.Split(l, "|")
		if len(cells) < 4 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		name := code.FindStringSubmatch(cells[1])[1]
		for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
			names[name] = append(names[name], m[1])
		}
		if names[name] == nil {
			names[name] = []string{}
		}
		slices.Sort(names[name])
	}
	return names
}

// TestMetricsAreDocumented: what docs/progress.md lists is what there is, labels included.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	y := pace.New("run")
	feed(y)
	m := newMeters0(y)
	m.end(ending{mismatches: 0})
	// An ETA is there after some seconds only: it is asked for by its description.
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	is := map[string][]string{"pgmove_eta_seconds": {"work"}}
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		is[f.GetName()] = labels
	}
	if len(is) != len(descriptions) {
		t.Errorf("%d metrics are described, %d gathered", len(descriptions), len(is))
	}
	wantSame(t, is, documented(t, "Metrics"))
}

// TestLogIsDocumented: the lines and fields that docs/progress.md lists are those there are.
func TestLogIsDocumented(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := newLogger(&b, formatJSON, false, false, false)
	l.start("run")
	l.listening("127.0.0.1:9090")
	y := pace.New("run")
	observe := func(e stream.Event) { l.event(e, y.Observe(e), y) }
	observe(stream.Event{Kind: stream.EventPhase, Side: "restore", Text: "pre-data"})
	observe(stream.Event{Kind: stream.EventPhase, Side: "restore", Text: "data"})
	observe(stream.Event{Kind: stream.EventChunk, Side: "restore", Object: "public.t", Parts: 1, Rows: 1})
	observe(stream.Event{Kind: stream.EventRetry, Side: "dump", Object: "public.t", Text: "again"})
	observe(stream.Event{Kind: stream.EventWarning, Side: "dump", Text: "w"})
	feed(y)
	l.progress(y.Status())
	l.end(ending{ExitCode: 20})
	is, groups := map[string][]string{}, map[string][]string{}
	for _, line := range jsonLines(t, b.String()) {
		msg := line["msg"].(string)
		for k, v := range line {
			if k == "time" || k == "level" || k == "msg" {
				continue
			}
			if group, ok := v.(map[string]any); ok {
				groups[k] = slices.Sorted(maps.Keys(group))
			}
			if !slices.Contains(is[msg], k) {
				is[msg] = append(is[msg], k)
			}
		}
		slices.Sort(is[msg])
	}
	wantSame(t, is, documented(t, "Log lines"))
	for name, fields := range groups {
		wantSame(t, map[string][]string{name: fields}, map[string][]string{name: documented(t, "Bars in a log line")["bar"]})
	}
	if len(groups) != 5 {
		t.Errorf("%d bars in a progress line: %v", len(groups), groups)
	}
}

func wantSame(t *testing.T, is, docs map[string][]string) {
	t.Helper()
	for name, words := range is {
		if d, ok := docs[name]; !ok {
			t.Errorf("%s is not documented", name)
		} else if !slices.Equal(words, d) {
			t.Errorf("%s has %v, documented are %v", name, words, d)
		}
	}
	for name := range docs {
		if _, ok := is[name]; !ok {
			t.Errorf("%s is documented, and isn't there", name)
		}
	}
}

// TestTerminationMessage: it fits, however long the error is, and is written by itself in Kubernetes alone.
func TestTerminationMessage(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	file := filepath.Join(t.TempDir(), "termination-log")
	terminationLog = file
	defer func() { terminationLog = "/dev/termination-log" }()
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustExit(t, 3, "run")
	if b, _ := os.ReadFile(file); string(b) != "before" {
		t.Errorf("written outside Kubernetes: %s", b)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	mustExit(t, 3, "run")
	var e ending
	if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &e) != nil || e.ExitCode != 3 || e.Verdict != "failed" || !strings.Contains(e.Error, "--source") || e.Hint == "" {
		t.Errorf("%v %s", err, b)
	}
	mustExit(t, 3, "run", "--no-such-flag")
	if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &e) != nil || !strings.Contains(e.Error, "no-such-flag") {
		t.Errorf("%v %s", err, b)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	mustExit(t, 3, "run")
	if _, err := os.Stat(file); err == nil {
		t.Error("it was made, where Kubernetes had none")
	}
	for _, long := range []string{strings.Repeat("é\"\n<", 5000), strings.Repeat("\x00\x01", 5000), strings.Repeat("a", 4000), "\xff"} {
		b := ending{Error: long, Hint: long}.message()
		if len(b) > maxMessage || json.Unmarshal(b, &e) != nil || e.Error == "" {
			t.Errorf("%d bytes: %.100s", len(b), b)
		}
	}
}

// TestLinesOfText: the same in text, for people.
func TestLinesOfText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := newLogger(bars.NewScreen(&b), formatText, false, false, false)
	y := pace.New("run")
	feed(y)
	observe := func(e stream.Event) { l.event(e, y.Observe(e), y) }
	l.start("run")
	observe(stream.Event{Kind: stream.EventPhase, Side: "restore", Text: "pre-data"})
	observe(stream.Event{Kind: stream.EventChunk, Side: "restore", Object: "public.t", Parts: 1, Rows: 1, Bytes: 2048})
	observe(stream.Event{Kind: stream.EventRetry, Side: "dump", Object: "public.t", Text: "chunk 1 comes again"})
	observe(stream.Event{Kind: stream.EventWarning, Text: "take care"})
	observe(stream.Event{Kind: stream.EventWarning, Text: "take care"})
	l.progress(y.Status())
	l.end(ending{Command: "run", Verdict: "failed", ExitCode: 20})
	text := b.String()
	wantText(t, text, "run begins, pgmove ", "restore: data ended after", "restore: pre-data\n", "table public.t done: 1 rows, 2.0 KiB", "retry: chunk 1 comes again\n",
		"warning: take care\n", "dump data 33% (0 rows, 1.0 MiB", "indexes 0 of 3", "run ended: failed, exit code 20")
	if strings.Count(text, "take care") != 1 {
		t.Errorf("a warning is told twice:\n%s", text)
	}
}
