package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/page"
	"github.com/pgmove/pgmove/stream"
)

// outputs is the value of --report: files, of which each flag names one. A comma is part of a name.
type outputs []string

// Set is flag.Value's.
func (o *outputs) Set(s string) error {
	if s == "" {
		return errors.New("a file's name is needed")
	}
	*o = append(*o, s)
	return nil
}

// String is flag.Value's.
func (o *outputs) String() string { return strings.Join(*o, ", ") }

func reportFlag() cli.Flag {
	return &cli.GenericFlag{Name: "report", Value: &outputs{}, Usage: "write the report to `FILE`: a page to look at where that ends in .html, else JSON, " +
		"which holds the digests for a later validate --digests; may be given more than once"}
}

// Get is flag.Getter's.
func (o *outputs) Get() any { return o }

// isPage reports whether a file is to be a page.
func isPage(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".html" || ext == ".htm"
}

// writeReports writes the report to each of the files that were asked for.
func (r *Report) writeReports(c *cli.Context) error {
	files, _ := c.Generic("report").(*outputs)
	if files == nil || len(*files) == 0 {
		return nil
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range *files {
		if isPage(f) {
			errs = append(errs, writePage(f, b))
			continue
		}
		errs = append(errs, writeFile(f, append(b, '\n')))
	}
	return errors.Join(errs...)
}

func writePage(file string, report []byte) error {
	var out bytes.Buffer
	if err := page.Render(&out, report); err != nil {
		return err
	}
	return writeFile(file, out.Bytes())
}

func newReportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "make a page to look at of a report in JSON",
		ArgsUsage: "REPORT.json",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "out", Usage: "write the page to `FILE`; without it beside the report, as .html"}},
		Action:    runReport,
	}
}

func runReport(c *cli.Context) error {
	in, out := c.Args().First(), c.String("out")
	// The flag may stand behind the file too: that is how one says it.
	switch rest := c.Args().Tail(); {
	case len(rest) == 2 && (rest[0] == "--out" || rest[0] == "-out"):
		out = rest[1]
	case len(rest) == 1 && strings.HasPrefix(rest[0], "--out="):
		out = strings.TrimPrefix(rest[0], "--out=")
	case len(rest) > 0:
		return stream.Fail(stream.Usage, "unexpected argument %q", rest[0]).WithHint("pgmove report REPORT.json --out PAGE.html")
	}
	if in == "" {
		return stream.Fail(stream.Usage, "report takes the file of a report").WithHint("pgmove run --report report.json writes one")
	}
	b, err := os.ReadFile(in)
	if err != nil {
		return stream.Fail(stream.Usage, "%s", err)
	}
	if out == "" {
		out = strings.TrimSuffix(in, filepath.Ext(in)) + ".html"
	}
	var html bytes.Buffer
	if err := page.Render(&html, b); err != nil {
		return (&stream.Failure{Kind: stream.Integrity, Object: in, Msg: "not a report of pgmove", Err: err})
	}
	if err := writeFile(out, html.Bytes()); err != nil {
		return stream.Fail(stream.Failed, "the page could not be written: %s", err)
	}
	return nil
}
