package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func newManCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		Description: "To read it: pgmove man | man -l -",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			_, err := fmt.Fprint(c.App.Writer, manual(c.App))
			return err
		},
	}
}

// roff makes a text plain for a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "’", `\(cq`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

var exitCodeLine = regexp.MustCompile(`(?m)^ +(\d+)  (.+)$`)

// manual is the manual page. It bears no version and no date: it is the same as long as the commands are.
func manual(app *cli.App) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.\" made by pgmove man; not to be edited`)
	line(`.TH PGMOVE 1 "" pgmove "User Commands"`)
	line(".SH NAME\npgmove \\- %s", roff(app.Usage))
	line(".SH SYNOPSIS\n.B pgmove\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]")
	line(".SH DESCRIPTION\n%s", roff("pgmove reads a database under one snapshot, writes it to an empty database on another server, and compares: rows by digest, sequences by value, the schema entry by entry."))
	line(".PP\n%s", roff("On the way the rows pass through memory, or stay as an archive in a folder or an S3 bucket, which stock pg_restore reads too."))
	line(".PP\n%s", roff("Results are printed on standard output, progress and messages on standard error."))
	line(".SH COMMANDS")
	env := map[string]string{}
	for _, c := range app.VisibleCommands() {
		title := "pgmove " + c.Name
		if c.ArgsUsage != "" {
			title += " " + c.ArgsUsage
		}
		line(".SS %s\n%s.", roff(title), roff(strings.ToUpper(c.Usage[:1])+c.Usage[1:]))
		if c.Description != "" {
			line(".PP\n.nf\n%s\n.fi", roff(c.Description))
		}
		for _, o := range options(c) {
			if o.names[0] == "--help" {
				continue
			}
			line("%s", o.roff())
			for _, e := range o.env {
				env[e] = o.names[0]
			}
		}
	}
	line(".SH ENVIRONMENT")
	var names []string
	for n := range env {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		line(".TP\n.B %s\nStands in for %s.", roff(n), roff(env[n]))
	}
	line(".TP\n.B PGHOST, PGUSER, PGPASSWORD, PGPASSFILE, ...\nFill in what a connection string leaves open.")
	line(".TP\n.B AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID, ...\nReach S3, Secrets Manager and RDS, as for the AWS tools.")
	line(".SH EXIT STATUS")
	for _, m := range exitCodeLine.FindAllStringSubmatch(app.Description, -1) {
		line(".TP\n.B %s\n%s", m[1], roff(m[2]))
	}
	line(".SH EXAMPLES\n.nf\n%s\n.fi", roff(`pgmove run --source postgres://me@old/app --target postgres://me@new/app --report report.json
pgmove dump --source-file /run/secrets/source --to s3://bucket/app
pgmove restore --from s3://bucket/app --target aws-secret://app/target
pgmove validate --digests report.json --target postgres://me@new/app`))
	line(".SH SEE ALSO\n.BR pg_dump (1),\n.BR pg_restore (1)")
	return b.String()
}

// roff is an option's paragraph.
func (o option) roff() string {
	var names []string
	for _, n := range o.names {
		n = `\fB` + roff(n) + `\fR`
		if o.value != "" {
			n += ` \fI` + roff(o.value) + `\fR`
		}
		names = append(names, n)
	}
	text := roff(strings.ToUpper(o.usage[:1]) + o.usage[1:])
	if o.preset != "" && o.preset != "false" {
		text += roff(". Default: " + o.preset)
	}
	return ".TP\n" + strings.Join(names, ", ") + "\n" + text + "."
}
