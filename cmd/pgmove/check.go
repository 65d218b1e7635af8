package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// clockSlack is how far clocks may differ before it is worth a word. A variable for the tests alone.
var clockSlack = 5 * time.Second

// ownSeverities are the findings that no engine package knows.
var ownSeverities = map[string]stream.Severity{
	"pg-dump-for-target": stream.Block,
	"clock-differs":      stream.Warn,
	"via-unreachable":    stream.Block,
	"via-not-empty":      stream.Block,
	"via-denied":         stream.Block,
	"via-upload-denied":  stream.Block,
	"via-delete-denied":  stream.Block,
}

func newCheckCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "find what could stop or spoil a move, all at once, and change nothing",
		Description: "Give --source, --target and --via as for run, or some of them. Exit codes: 0 where nothing blocks, 10 where something does,\n" +
			"12 or 20 where a side can't be asked. docs/check.md has all findings.",
		Flags: join([]cli.Flag{sourceFlag(), targetFlag(),
			&cli.StringFlag{Name: "via", Usage: "`LOCATION` of the archive on the way: what may be done there is tried"},
			&cli.StringFlag{Name: "format", Value: "table", Usage: "table or json"},
			jobsFlag(), toolFlag(), rolesFlag(), definerFlag()}, validateFlags(), ownerFlags(), dumpFlags(), locationFlags(), sealFlags()),
		Action: func(c *cli.Context) error { return runCheck(c) },
	}
}

func noCheckFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-check", Usage: "do not look for all that blocks before the run begins; it then ends at the first"}
}

// checked is what a check came to.
type checked struct {
	Findings []stream.Finding `json:"findings"`
	Blocks   int              `json:"blocks"`
	ExitCode int              `json:"exit_code"`
	unasked  []error          // of sides that could not be asked
}

func runCheck(c *cli.Context) error {
	if err := noArgs(c); err != nil {
		return err
	}
	if f := c.String("format"); f != "table" && f != "json" {
		return stream.Fail(stream.Usage, "--format %q: table or json is needed", f)
	}
	if !given(c, "source") && !given(c, "target") && c.String("via") == "" {
		return stream.Fail(stream.Usage, "nothing to check").WithHint("give --source, --target or --via")
	}
	res, err := checkSides(c.Context, c, true)
	if err != nil {
		return err
	}
	if c.String("via") != "" {
		if err := res.via(c.Context, c); err != nil {
			return err
		}
	}
	res.sort()
	err = res.verdict()
	res.ExitCode = exitCode(err)
	if c.String("format") == "json" {
		b, jerr := json.MarshalIndent(res, "", " ")
		if jerr != nil {
			return jerr
		}
		_, jerr = fmt.Fprintf(c.App.Writer, "%s\n", b)
		return errors.Join(err, jerr)
	}
	res.print(c.App.Writer)
	return err
}

// checkSides asks the databases that are given: both at once, and the target then for what the source needs.
func checkSides(ctx context.Context, c *cli.Context, full bool) (*checked, error) {
	res := &checked{Findings: []stream.Finding{}}
	var conns [2]conn
	for i, side := range []string{"source", "target"} {
		if !given(c, side) {
			continue
		}
		co, err := connFlag(c, side)
		if err != nil {
			return nil, err
		}
		conns[i] = co
	}
	if conns[0] != nil && conns[1] != nil {
		if err := sameEngine(engineOf(conns[0]), engineOf(conns[1])); err != nil {
			return nil, err
		}
	}
	if _, err := rolesMode(c); err != nil {
		return nil, err
	}
	sel, err := selection(c)
	if err != nil {
		return nil, err
	}
	var needs *stream.Needs
	if conns[0] != nil {
		var list []stream.Finding
		needs, list, err = askSource(ctx, c, conns[0], sel, full)
		if err := res.take(list, err); err != nil {
			return nil, err
		}
		if needs != nil && full {
			res.clock("source", conns[0].Name(), needs.Clock)
		}
	}
	// A target that has its schema already is looked at by the restore alone.
	if conns[1] != nil && sel.Has(stream.PreData) {
		offer, list, err := askTarget(ctx, c, conns[1], needs, full)
		if err := res.take(list, err); err != nil {
			return nil, err
		}
		if offer != nil {
			if full {
				res.clock("target", conns[1].Name(), offer.Clock)
			}
			if engineOf(conns[1]) == mysource.Engine {
				return res, nil
			}
			if err := res.tool(ctx, c, conns[1].Name(), offer.VersionNum); err != nil {
				return nil, err
			}
		}
	}
	return res, nil
}

// take takes a side's findings; an error that none of them tells is returned.
func (r *checked) take(list []stream.Finding, err error) error {
	r.Findings = append(r.Findings, list...)
	if err == nil {
		return nil
	}
	if !slices.ContainsFunc(list, func(f stream.Finding) bool { return f.Err == err }) {
		return err
	}
	if k := stream.KindOf(err); k != stream.Preflight {
		r.unasked = append(r.unasked, err)
	}
	return nil
}

func (r *checked) clock(side, object string, ahead time.Duration) {
	if ahead.Abs() <= clockSlack {
		return
	}
	f := &stream.Findings{Side: side, Object: object, Severities: ownSeverities}
	f.Add("clock-differs", fmt.Sprintf("the server's clock is %s ahead of this machine's", ahead.Round(time.Millisecond)),
		"have both take their time from a time server: logs are hard to compare, and S3 refuses requests 15 minutes off")
	r.Findings = append(r.Findings, f.List...)
}

// tool finds whether the target's schema can be read for the validation.
func (r *checked) tool(ctx context.Context, c *cli.Context, object string, version int) error {
	if c.Bool("no-schema-check") || c.String("validate") == string(validate.None) {
		return nil
	}
	err := pgsource.FindTool(ctx, c.String("pg-bin"), version)
	if err == nil {
		return nil
	}
	f := &stream.Findings{Side: "target", Object: object, Severities: ownSeverities}
	if err := f.Refused("pg-dump-for-target", noTool(err)); err != nil {
		return err
	}
	r.Findings = append(r.Findings, f.List...)
	return nil
}

var severities = []stream.Severity{stream.Block, stream.Warn, stream.Note}

// sort puts the worst first.
func (r *checked) sort() {
	sides := []string{"source", "target", "via"}
	slices.SortStableFunc(r.Findings, func(a, b stream.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)),
			cmp.Compare(slices.Index(sides, a.Side), slices.Index(sides, b.Side)))
	})
	r.Blocks = len(r.blocks())
}

func (r *checked) blocks() []stream.Finding {
	var out []stream.Finding
	for _, f := range r.Findings {
		if f.Severity == stream.Block {
			out = append(out, f)
		}
	}
	return out
}

// verdict is nil where nothing blocks. A side that could not be asked comes first: what it would have told is not known.
func (r *checked) verdict() error {
	if len(r.unasked) > 0 {
		return r.unasked[0]
	}
	switch n := len(r.blocks()); n {
	case 0:
		return nil
	case 1:
		return stream.Fail(stream.Preflight, "one finding blocks the move")
	default:
		return stream.Fail(stream.Preflight, "%d findings block the move", n)
	}
}

// print prints the findings: a line that says what, and one that says what to do.
func (r *checked) print(w io.Writer) {
	count := map[stream.Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
		fmt.Fprintf(w, "%-5s  %-6s  %s\n       %s: %s\n", f.Severity, f.Side, f.ID, f.Object, f.Msg)
		if f.Hint != "" && f.Hint != "nothing" {
			fmt.Fprintf(w, "       to do: %s\n", f.Hint)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	var parts []string
	for _, s := range severities {
		parts = append(parts, fmt.Sprintf("%s %d", s, count[s]))
	}
	fmt.Fprintln(w, strings.Join(parts, ", "))
}

// preflight is a run's first step: all that blocks on either side is told at once, before the target is touched.
func preflight(ctx context.Context, c *cli.Context) error {
	if c.Bool("no-check") || c.Bool("resume") {
		return nil
	}
	res, err := checkSides(ctx, c, false)
	if err != nil {
		return err
	}
	res.sort()
	list := res.blocks()
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0].Err
	}
	kind := stream.KindOf(list[0].Err)
	var b strings.Builder
	for _, f := range list {
		if k := stream.KindOf(f.Err); k == stream.Busy || len(res.unasked) > 0 && f.Err == res.unasked[0] {
			return f.Err
		} else if k != kind {
			kind = stream.Preflight
		}
		fmt.Fprintf(&b, "\n  %s\n    %s: %s", f.ID, f.Object, f.Msg)
		if f.Hint != "" {
			fmt.Fprintf(&b, "\n    to do: %s", f.Hint)
		}
	}
	return stream.Fail(kind, "%d findings block the move; the target was not touched%s", len(list), b.String()).
		WithHint("pgmove check shows them, and what else is worth knowing")
}
