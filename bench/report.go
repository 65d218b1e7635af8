package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// find returns the runs of a contestant: of one pgmove binary where it is pgmove's.
func (r *result) find(id, program string) []usage {
	for _, c := range r.order {
		if c.id == id && (c.kind != ours || c.program == program) {
			return r.runs[c]
		}
	}
	return nil
}

// bestPeer is the fastest of the other tools; nil where none ran.
func (r *result) bestPeer() (best *contestant) {
	for _, c := range r.order {
		if c.kind == peer && len(r.runs[c]) > 0 && (best == nil || wall(r.runs[c]) < wall(r.runs[best])) {
			best = c
		}
	}
	return best
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func ratio(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

// gigabytes is what a contestant moved.
func (r *result) gigabytes() float64 { return float64(r.bytes) / 1e9 }

// report puts all that was measured into tables.
func (b *bench) report(ctx context.Context, results []*result) *figures {
	f := &figures{}
	for _, r := range results {
		f.head("%s", r.workload.name)
		f.para("%s.", r.facts)
		f.table(r.table())
		for c, why := range r.out {
			f.para("%s left the contest: %s", c.name, strings.ReplaceAll(why, "\n", " "))
		}
	}
	f.head("Goals")
	f.table(goalTable(results, b.pgmove))
	f.head("Measured with")
	fixed, err := b.fixed(ctx)
	if err != nil {
		fixed = "not known: " + err.Error()
	}
	f.table([][]string{
		{"what", "which"},
		{"machine", machine()},
		{"versions", strings.Join(b.versions, ", ") + ", " + runtime.Version()},
		{"both servers", fixed + "; on the same machine, over TCP"},
		{"rounds", fmt.Sprint(b.rounds)},
		{"date", time.Now().UTC().Format("2006-01-02")},
		{"again", b.again()},
	})
	return f
}

// pathFlags are the flags whose values are paths.
var pathFlags = map[string]bool{"pgmove": true, "pgcopydb": true, "md": true}

// again is the command that repeats the run, for a shell.
func (b *bench) again() string {
	words := []string{"go run ./bench"}
	path := false
	for _, a := range b.args {
		// A path of this machine says nothing elsewhere.
		name, value, joined := strings.Cut(a, "=")
		switch {
		case path:
			a = filepath.Base(a)
		case joined && pathFlags[strings.TrimLeft(name, "-")]:
			a = name + "=" + filepath.Base(value)
		}
		path = !joined && strings.HasPrefix(a, "-") && pathFlags[strings.TrimLeft(a, "-")]
		if a == "" || strings.ContainsAny(a, " |*?()$&;'") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// table has a row for each contestant.
func (r *result) table() [][]string {
	rows := [][]string{{"contestant", "median", "least", "most", "of best peer", "of floor", "client CPU", "CPU per GB", "peak memory"}}
	best := r.bestPeer()
	floor := r.find("floor", "")
	for _, c := range r.order {
		runs := r.runs[c]
		if len(runs) == 0 {
			continue
		}
		lo, hi := spread(runs)
		ofBest, ofFloor := "", ""
		if best != nil {
			ofBest = fmt.Sprintf("%.2f", ratio(wall(runs), wall(r.runs[best])))
		}
		if len(floor) > 0 {
			ofFloor = fmt.Sprintf("%.2f", ratio(wall(runs), wall(floor)))
		}
		rows = append(rows, []string{c.name, seconds(wall(runs)), seconds(lo), seconds(hi), ofBest, ofFloor, seconds(cpu(runs)),
			fmt.Sprintf("%.2f s", cpu(runs).Seconds()/r.gigabytes()), fmt.Sprintf("%d MiB", rss(runs)>>20)})
	}
	return rows
}

// goal is what pgmove shall reach.
type goal struct {
	name  string
	limit float64
	unit  string
	// value returns what was reached, if it was measured.
	value func(r *result, program string) (float64, bool)
	on    string // the workload's id
}

// against compares the times of two contestants; "" is the best peer.
func against(id, other string) func(*result, string) (float64, bool) {
	return func(r *result, program string) (float64, bool) {
		a, b := r.find(id, program), r.find(other, program)
		if other == "" {
			if best := r.bestPeer(); best != nil {
				b = r.runs[best]
			}
		}
		if len(a) == 0 || len(b) == 0 {
			return 0, false
		}
		return ratio(wall(a), wall(b)), true
	}
}

// goals are pgmove's.
var goals = []goal{
	{"direct without validation : best peer", 0.70, "", against("direct", ""), "mix"},
	{"direct without validation : floor", 1.05, "", against("direct", "floor"), "mix"},
	{"direct with full validation : best peer", 0.90, "", against("validated", ""), "mix"},
	{"via S3 : direct, both validated", 1.30, "", against("s3", "validated"), "mix"},
	{"2,000 tables, direct without validation : pg_dump | psql", 0.80, "", against("direct", "pipe"), "tables-2000"},
	{"client CPU per GB, direct without validation", 1.5, " s", func(r *result, program string) (float64, bool) {
		runs := r.find("direct", program)
		if len(runs) == 0 {
			return 0, false
		}
		return cpu(runs).Seconds() / r.gigabytes(), true
	}, "mix"},
	{"peak memory, the most of all ways", 256, " MiB", func(r *result, program string) (float64, bool) {
		most := int64(0)
		for _, c := range r.order {
			if c.kind == ours && c.program == program {
				for _, u := range r.runs[c] {
					most = max(most, u.rss)
				}
			}
		}
		return float64(most) / (1 << 20), most > 0
	}, ""},
}

// goalTable says of each goal whether it was met.
func goalTable(results []*result, programs []program) [][]string {
	rows := [][]string{{"goal", "at most", "measured", "verdict"}}
	for _, p := range programs {
		for _, g := range goals {
			name := g.name
			if p.label != "" {
				name += " [" + p.label + "]"
			}
			worst, measured := 0.0, false
			for _, r := range results {
				if g.on != "" && r.workload.id != g.on {
					continue
				}
				if v, ok := g.value(r, p.label); ok {
					worst, measured = max(worst, v), true
				}
			}
			row := []string{name, fmt.Sprintf("%.4g%s", g.limit, g.unit), "—", "not measured"}
			if measured {
				row[2], row[3] = fmt.Sprintf("%.2f%s", worst, g.unit), "missed"
				if worst <= g.limit {
					row[3] = "met"
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// machine describes the machine in a line.
func machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if v := field("/proc/cpuinfo", "model name"); v != "" {
		parts = append([]string{v}, parts...)
	}
	var kib int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil {
		parts = append(parts, fmt.Sprintf("%.0f GiB of memory", float64(kib)/(1<<20)))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, runtime.GOOS+" "+strings.TrimSpace(string(b)))
	}
	return strings.Join(parts, ", ")
}

// field returns the value of the first line "name: value" of a file, "" without one.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
