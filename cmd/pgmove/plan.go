package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
)

// dryFlags ask for the plan alone.
func dryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "print what would be moved and what stands against it, and touch neither target nor archive; --report FILE takes it as JSON"},
		&cli.StringFlag{Name: "rate-from", Usage: "with --dry-run: estimate the time from the `FILE` that an earlier --report wrote"},
	}
}

// Plan is what a dry run prints.
type Plan struct {
	Selection string         `json:"selection,omitempty"`
	Entries   []PlanEntries  `json:"entries"`
	Tables    []PlanTable    `json:"tables"`
	Chunks    int            `json:"chunks"`
	Bytes     int64          `json:"bytes"` // on the source's disk, by its own estimate
	Seconds   float64        `json:"estimated_seconds"`
	Rate      int64          `json:"bytes_per_second"`
	Basis     string         `json:"rate_from"`
	Refused   string         `json:"refused,omitempty"` // why the target or the archive would not take it
	kinds     map[string]int // index of Entries
}

// PlanEntries counts the entries of a kind.
type PlanEntries struct {
	Section string `json:"section"`
	Kind    string `json:"kind"`
	Count   int    `json:"count"`
}

// PlanTable is one table whose rows would be moved.
type PlanTable struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"` // the source's estimate, -1 where it has none
	Bytes  int64  `json:"bytes"`
	Chunks int    `json:"chunks"`
}

// assumedRate is what the time is estimated from without a report, in bytes of tables a second: loading, index builds and comparison together
// on a small machine; see docs/selection.md.
const assumedRate = 30 << 20

func newPlan(c *cli.Context, sel *stream.Selection, entries []stream.Entry, chunks []stream.Chunk) (*Plan, error) {
	p := &Plan{Selection: sel.Text(), kinds: map[string]int{}}
	parts := map[stream.DumpID]int{}
	for _, ch := range chunks {
		parts[ch.Table]++
	}
	for i := range entries {
		e := &entries[i]
		if !sel.Wants(e) {
			continue
		}
		key := e.Section.String() + " " + e.Desc.Display()
		if _, ok := p.kinds[key]; !ok {
			p.kinds[key] = len(p.Entries)
			p.Entries = append(p.Entries, PlanEntries{Section: e.Section.String(), Kind: e.Desc.Display()})
		}
		p.Entries[p.kinds[key]].Count++
		if e.Table != nil {
			p.Tables = append(p.Tables, PlanTable{Name: planName(e), Rows: e.Table.Rows, Bytes: e.Table.Bytes, Chunks: parts[e.ID]})
			p.Chunks += parts[e.ID]
			p.Bytes += e.Table.Bytes
		}
	}
	slices.SortStableFunc(p.Tables, func(a, b PlanTable) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return p, p.estimate(c.String("rate-from"))
}

func planName(e *stream.Entry) string {
	if e.Table.LargeObjects {
		return "large objects"
	}
	return e.Name()
}

// estimate fills in the time, from a report or from what is assumed.
func (p *Plan) estimate(file string) error {
	p.Rate, p.Basis = assumedRate, "assumed; --rate-from FILE takes it from an earlier --report"
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return stream.Fail(stream.Usage, "--rate-from: %s", err)
		}
		var r Report
		if err := json.Unmarshal(b, &r); err != nil || r.Contents == nil || r.Seconds <= 0 {
			return stream.Fail(stream.Usage, "--rate-from %s: not the report of a run, dump or restore that ended well", file)
		}
		var bytes int64
		for _, t := range r.Contents.Tables {
			bytes += t.Table.Bytes
		}
		p.Rate, p.Basis = max(int64(float64(bytes)/r.Seconds), 1), fmt.Sprintf("the %s of %s, reported in %s", r.Command, r.Started.Format("2006-01-02 15:04"), file)
	}
	p.Seconds = float64(p.Bytes) / float64(p.Rate)
	return nil
}

// print writes the plan for people.
func (p *Plan) print(w io.Writer, warnings []string) {
	if p.Selection != "" {
		fmt.Fprintf(w, "selection: %s\n\n", p.Selection)
	}
	var rows [][]string
	for _, e := range p.Entries {
		rows = append(rows, []string{e.Section, e.Kind, fmt.Sprint(e.Count)})
	}
	printTable(w, []string{"section", "entries", "count"}, rows)
	fmt.Fprintln(w)
	rows = nil
	for i, t := range p.Tables {
		if i == shown {
			rows = append(rows, []string{fmt.Sprintf("… %d more tables", len(p.Tables)-i), "", "", ""})
			break
		}
		n := "unknown"
		if t.Rows >= 0 {
			n = "about " + fmt.Sprint(t.Rows)
		}
		rows = append(rows, []string{t.Name, n, sizeText(t.Bytes), fmt.Sprint(t.Chunks)})
	}
	rows = append(rows, []string{fmt.Sprintf("total (%d)", len(p.Tables)), "", sizeText(p.Bytes), fmt.Sprint(p.Chunks)})
	printTable(w, []string{"table", "rows", "bytes", "chunks"}, rows)
	fmt.Fprintf(w, "\nestimate: %s at %s a second (%s)\n", seconds(p.Seconds), sizeText(p.Rate), p.Basis)
	for _, t := range warnings {
		fmt.Fprintf(w, "warning: %s\n", t)
	}
	if p.Refused != "" {
		fmt.Fprintf(w, "refused: %s\n", p.Refused)
	}
	fmt.Fprintln(w, "dry run: nothing was changed")
}

// planned ends a dry run: the plan is printed, and what would refuse it is the error.
func planned(c *cli.Context, p *Plan, rep *Report, refused error) error {
	if refused != nil {
		p.Refused = strings.ReplaceAll(refused.Error(), "\n", " ")
	}
	rep.Plan = p
	rep.connected()
	p.print(c.App.Writer, rep.Warnings)
	return refused
}

// checkDry refuses flags that make no sense in a dry run.
func checkDry(c *cli.Context) error {
	for _, f := range []string{"resume", "wait"} {
		if c.Bool(f) {
			return stream.Fail(stream.Usage, "--dry-run does not go with --%s", f)
		}
	}
	return nil
}

// sourcePlan reads the plan of a source.
func sourcePlan(ctx context.Context, c *cli.Context, from conn, kept bool, rep *Report) (h stream.Header, roles []stream.Role, entries []stream.Entry, chunks []stream.Chunk, err error) {
	if err = checkDry(c); err != nil {
		return h, nil, nil, nil, err
	}
	src, err := openSource(ctx, c, from, kept, nil, rep.observe)
	if err != nil {
		return h, nil, nil, nil, err
	}
	defer src.Close()
	h, entries, chunks, err = dump.Plan(ctx, src)
	h.Source.Started = src.Facts().Started
	if l, ok := src.(dump.RoleLister); ok && err == nil {
		roles, err = l.Roles(ctx)
	}
	return h, roles, entries, chunks, err
}

func planRun(ctx context.Context, c *cli.Context, from conn, to *destination, rep *Report) error {
	h, roles, entries, chunks, err := sourcePlan(ctx, c, from, c.String("via") != "", rep)
	if err != nil {
		return err
	}
	p, err := newPlan(c, &h.Source.Selection, entries, chunks)
	if err != nil {
		return err
	}
	if via := c.String("via"); via != "" {
		loc, err := parseLocation("via", via)
		if err == nil {
			err = loc.checkFree(ctx, c)
		}
		if err != nil {
			return planned(c, p, rep, err)
		}
	}
	defer to.close()
	return planned(c, p, rep, to.check(ctx, c, &h, roles, entries, chunks, rep))
}

func planDump(ctx context.Context, c *cli.Context, from conn, loc location, rep *Report) error {
	h, _, entries, chunks, err := sourcePlan(ctx, c, from, true, rep)
	if err != nil {
		return err
	}
	p, err := newPlan(c, &h.Source.Selection, entries, chunks)
	if err != nil {
		return err
	}
	return planned(c, p, rep, loc.checkFree(ctx, c))
}

func planRestore(ctx context.Context, c *cli.Context, a *archive, h *stream.Header, to *destination, rep *Report) error {
	if err := checkDry(c); err != nil {
		return err
	}
	entries, err := a.Entries(ctx)
	if err != nil {
		return err
	}
	chunks, err := a.Plan(ctx)
	if err != nil {
		return err
	}
	var roles []stream.Role
	if to.roles {
		if roles, err = a.Roles(ctx); err != nil {
			return err
		}
	}
	narrow := *h
	narrow.Source.Selection = to.selection
	p, err := newPlan(c, &narrow.Source.Selection, entries, chunks)
	if err != nil {
		return err
	}
	return planned(c, p, rep, to.check(ctx, c, &narrow, roles, entries, chunks, rep))
}

// check connects to the target and says what it would refuse.
func (d *destination) check(ctx context.Context, c *cli.Context, h *stream.Header, roles []stream.Role, entries []stream.Entry, chunks []stream.Chunk, rep *Report) error {
	if err := d.connect(ctx, c, rep.observe); err != nil {
		return err
	}
	if err := d.isSource(ctx, &h.Source); err != nil {
		return err
	}
	if m, ok := d.target.(restore.RoleMaker); ok && d.roles {
		m.TakeRoles(roles)
	}
	if t, ok := d.target.(checker); ok {
		return t.Check(ctx, h, entries, chunks)
	}
	return nil
}

// checkFree refuses a location that an archive could not be written to; it makes nothing there.
func (l location) checkFree(ctx context.Context, c *cli.Context) error {
	if !l.s3 {
		if _, err := os.Stat(l.dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	s, err := l.openBare(ctx, c, false)
	if err != nil {
		return err
	}
	return stream.Empty(ctx, s, l.text, false)
}
