package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/timeline"
	"github.com/pgmove/pgmove/internal/transit"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// Report is what a run did and found. Its JSON form is a file for later: contents
// holds the digests that validate --digests compares with.
type Report struct {
	Command  string    `json:"command"`
	Tool     string    `json:"tool"`
	Run      string    `json:"run,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	ExitCode int       `json:"exit_code"`
	Error    string    `json:"error,omitempty"`
	// Hint is what the error says to do next.
	Hint string `json:"hint,omitempty"`

	Tables   []TableReport   `json:"tables"`
	Sections []SectionReport `json:"sections"`
	Rows     int64           `json:"rows"`
	Bytes    int64           `json:"bytes"`
	Warnings []string        `json:"warnings,omitempty"`
	// Roles were created on the target.
	Roles []string `json:"roles_created,omitempty"`
	// Connections says how each side was reached.
	Connections []ConnectionReport `json:"connections,omitempty"`
	Result      *validate.Result   `json:"validation,omitempty"`
	Contents    *stream.Contents   `json:"contents,omitempty"`
	// Plan is a dry run's, which has nothing else to tell.
	Plan *Plan `json:"plan,omitempty"`
	// Timeline says what was done when, Servers and Settings by and with what.
	Timeline *timeline.Timeline `json:"timeline,omitempty"`
	Servers  []ServerReport     `json:"servers,omitempty"`
	Settings []Setting          `json:"settings,omitempty"`
	Machine  string             `json:"machine,omitempty"`

	conns    map[string]conn // by side
	drill    drilling
	jobs     int
	noSchema bool
	noOwner  bool
	noACL    bool
	clean    bool // what else the target holds is left there, and told

	also   stream.Observer   // set before there are events
	sides  map[string]source // by side
	times  *timeline.Recorder
	passed map[[2]any]stream.Event // by side and worker: the chunk that is to be told of

	mu       sync.Mutex
	loadTime map[stream.DumpID]time.Duration
	loaded   map[stream.DumpID]int64
	entries  int
	now      counters
	phases   map[string]string
	before   map[string]int // chunks of an earlier process, by side
	warned   map[string]bool
}

// counters is what progress shows.
type counters struct {
	bytes, total   int64 // read from the source, and its estimate
	chunks, of     int   // finished by the last side that handles them
	rows           int64
	compared       int64 // bytes read back
	comparedChunks int
}

// TableReport is one table's row of the report. Seconds adds up the time of all workers.
type TableReport struct {
	Name    string  `json:"name"`
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Verdict string  `json:"verdict"`
	Note    string  `json:"note,omitempty"`
	// Source and Target are the sizes on the servers' disks, where they were asked.
	Source *stream.DiskSize `json:"source,omitempty"`
	Target *stream.DiskSize `json:"target,omitempty"`
}

// ConnectionReport says how a side was reached. Its password is nowhere.
type ConnectionReport struct {
	Side string `json:"side"` // source or target
	Name string `json:"name"`
	transit.Security
}

// conn reads a side's connection string.
func (r *Report) conn(c *cli.Context, side string) (conn, error) {
	co, err := connFlag(c, side)
	r.conns[side] = co
	return co, err
}

// connected notes how the sides were reached that were so far, and warns where that was not safe.
func (r *Report) connected() {
	for _, side := range []string{"source", "target"} {
		conn := r.conns[side]
		if conn == nil || !conn.Security().Tried {
			continue
		}
		s := conn.Security()
		delete(r.conns, side)
		r.Connections = append(r.Connections, ConnectionReport{Side: side, Name: conn.Name(), Security: s})
		if w := s.Weakness(); w != "" {
			r.observe(stream.Event{Kind: stream.EventWarning, Side: side, Text: side + " " + conn.Name() + ": " + w})
		}
	}
}

// SectionReport says when a side was in a phase.
type SectionReport struct {
	Side    string    `json:"side"`
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

func newReport(c *cli.Context) *Report {
	now := time.Now()
	return &Report{Command: c.Command.Name, Tool: version, Started: now, drill: newDrilling(c), jobs: c.Int("jobs"), noSchema: c.Bool("no-schema-check"),
		noOwner: c.Bool("no-owner") || c.IsSet("definer") && c.String("definer") != "keep", noACL: c.Bool("no-acl"), clean: c.Bool("clean"),
		loadTime: map[stream.DumpID]time.Duration{}, loaded: map[stream.DumpID]int64{}, phases: map[string]string{}, before: map[string]int{}, warned: map[string]bool{},
		conns: map[string]conn{}, sides: map[string]source{}, times: timeline.New(now), passed: map[[2]any]stream.Event{},
		Settings: settings(c), Machine: machine()}
}

// observe takes the events of all sides.
func (r *Report) observe(e stream.Event) {
	r.also.Send(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(e)
	switch e.Kind {
	case stream.EventPhase:
		r.endSection(e.Side)
		r.phases[e.Side] = e.Text
		if e.Text == "" {
			break
		}
		r.Sections = append(r.Sections, SectionReport{Side: e.Side, Name: e.Text, Started: time.Now(), Seconds: -1})
	case stream.EventPlan:
		if e.What == stream.WorkChunk && (e.Side == "dump" || e.Side == "restore" && r.Command == "restore" || e.Side == "verify") {
			r.now.total, r.now.of = e.Bytes, r.before[e.Side]+e.Count
		}
	case stream.EventRows:
		switch {
		case e.Side == "validate":
			r.now.compared += e.Bytes
		case e.Side != "restore" || r.Command == "restore":
			r.now.bytes += e.Bytes
		}
	case stream.EventChunk:
		if e.Text == stream.TakenBefore {
			r.before[e.Side]++
		}
		switch e.Side {
		case "restore":
			r.loadTime[e.Entry] += e.Took
			r.loaded[e.Entry] += e.Rows
			r.now.rows += e.Rows
			r.now.chunks++
		case "verify":
			r.now.rows += e.Rows
			r.now.chunks++
		case "dump":
			if r.Command != "run" {
				r.loadTime[e.Entry] += e.Took
				r.now.rows += e.Rows
				r.now.chunks++
			}
		case "validate":
			if r.Command == "validate" {
				r.loadTime[e.Entry] += e.Took
			}
			r.now.comparedChunks++
		}
	case stream.EventEntry:
		r.entries += e.Count
	case stream.EventRole:
		r.Roles = append(r.Roles, e.Object)
	case stream.EventWarning, stream.EventRetry:
		if !r.warned[e.Text] {
			r.warned[e.Text] = true
			r.Warnings = append(r.Warnings, e.Text)
		}
	}
}

// endSection closes a side's last phase. The caller holds r.mu.
func (r *Report) endSection(side string) {
	for i := range r.Sections {
		if s := &r.Sections[i]; (side == "" || s.Side == side) && s.Seconds < 0 {
			s.Seconds = time.Since(s.Started).Seconds()
		}
	}
}

func (r *Report) setContents(c *stream.Contents) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Contents = c
	for _, t := range c.Tables {
		name := t.Table.Name.Display()
		if t.Table.Namespace != "" {
			name = t.Table.Namespace.Display() + "." + name
		}
		r.Tables = append(r.Tables, TableReport{Name: name, Rows: t.Digest.Rows, Bytes: t.RawBytes,
			Seconds: r.loadTime[t.ID].Seconds(), Verdict: "unverified"})
		r.Rows += t.Digest.Rows
		r.Bytes += t.RawBytes
	}
	for _, w := range c.Header.Source.Warnings {
		if text := w.Display(); !r.warned[text] {
			r.warned[text] = true
			r.Warnings = append(r.Warnings, text)
		}
	}
}

func (r *Report) setResult(res *validate.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Result = res
	byID := map[int32]validate.Table{}
	for _, t := range res.Tables {
		for _, id := range t.IDs {
			byID[id] = t
		}
	}
	for i, t := range r.Contents.Tables {
		if v, ok := byID[int32(t.ID)]; ok {
			r.Tables[i].Verdict, r.Tables[i].Note = string(v.Verdict), v.Note
			r.Tables[i].Seconds = r.loadTime[t.ID].Seconds()
		}
	}
	r.Warnings = append(r.Warnings, res.Warnings...)
}

func (r *Report) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endSection("")
	r.describe()
	r.Timeline = r.times.Timeline()
	r.Ended = time.Now()
	r.Seconds = r.Ended.Sub(r.Started).Seconds()
	r.ExitCode = exitCode(err)
	if err != nil {
		r.Error, r.Hint = err.Error(), hintOf(err)
	}
}

// moved reports whether there is anything to tell.
func (r *Report) moved() bool { return r.Contents != nil }

// shown bounds the table of results; the report's file has all.
const shown = 40

func (r *Report) print(w io.Writer) {
	tables := slices.Clone(r.Tables)
	slices.SortStableFunc(tables, func(a, b TableReport) int {
		bad := func(t TableReport) int {
			if t.Verdict == string(validate.Different) || t.Verdict == string(validate.Unstable) || t.Verdict == string(validate.Missing) {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(bad(a), bad(b)), cmp.Compare(b.Bytes, a.Bytes))
	})
	var rows [][]string
	var restRows, restBytes int64
	for i, t := range tables {
		if i >= shown {
			restRows, restBytes = restRows+t.Rows, restBytes+t.Bytes
			continue
		}
		rows = append(rows, []string{t.Name, fmt.Sprint(t.Rows), sizeText(t.Bytes), seconds(t.Seconds), t.Verdict})
	}
	if n := len(tables) - shown; n > 0 {
		rows = append(rows, []string{fmt.Sprintf("… %d more tables", n), fmt.Sprint(restRows), sizeText(restBytes), "", ""})
	}
	rows = append(rows, []string{fmt.Sprintf("total (%d)", len(tables)), fmt.Sprint(r.Rows), sizeText(r.Bytes), seconds(r.Seconds), r.shownVerdict()})
	printTable(w, []string{"table", "rows", "bytes", "time", "verdict"}, rows)
	fmt.Fprintln(w)
	rows = nil
	for _, s := range r.Sections {
		rows = append(rows, []string{s.Side, s.Name, seconds(s.Started.Sub(r.Started).Seconds()), seconds(s.Seconds)})
	}
	printTable(w, []string{"side", "section", "from", "time"}, rows)
	if r.Result != nil {
		r.printDifferences(w)
		fmt.Fprintf(w, "\nvalidated: %d tables, %d sequences, %d schema entries compared\n", len(r.Result.Tables), r.Result.Sequences, r.Result.Schema)
		for i, u := range r.Result.Unverified {
			if i == shown {
				fmt.Fprintf(w, "… and %d more unverified\n", len(r.Result.Unverified)-i)
				break
			}
			fmt.Fprintf(w, "unverified: %s\n", u)
		}
	}
	for _, name := range r.Roles {
		fmt.Fprintf(w, "role created, without a password: %s\n", name)
	}
	for i, t := range r.Warnings {
		if i == shown {
			fmt.Fprintf(w, "… and %d more warnings\n", len(r.Warnings)-i)
			break
		}
		fmt.Fprintf(w, "warning: %s\n", t)
	}
}

// verdict is the whole run's.
func (r *Report) verdict() string {
	switch {
	case r.ExitCode == 30:
		return "different"
	case r.ExitCode != 0:
		return "failed"
	case r.Result == nil:
		return "unverified"
	case r.Result.Level == validate.Count:
		return "counted"
	}
	return "equal"
}

// shownVerdict is verdict for people: what was not compared is told in the same breath.
func (r *Report) shownVerdict() string {
	v := r.verdict()
	if r.Result != nil && v == "equal" && len(r.Result.Unverified) > 0 {
		v += fmt.Sprintf(", %d unverified", len(r.Result.Unverified))
	}
	return v
}
