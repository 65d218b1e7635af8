// Command pgmove moves a PostgreSQL database to another server and proves that
// everything arrived.
//
// It holds the flags, the only switch between engines, the exit codes, progress and
// report; one file a subcommand. All work is done in the packages it imports: it never speaks
// SQL and never reads an archive's objects itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

func main() {
	noCore()
	os.Exit(Main(os.Args, os.Stdout, os.Stderr))
}

// begun is called once the arguments are read. A variable for the tests alone: the library that reads them can't do
// that twice at a time.
var begun = func(*cli.Context) {}

// Main runs the command line and returns its exit code. It is apart from main for tests.
func Main(args []string, stdout, stderr io.Writer) int {
	stderr = newScreen(stderr)
	ctx, end := untilSignal(stderr, func() string { return resumeLine(args) })
	defer end()
	app := &cli.App{
		Name:        "pgmove",
		Usage:       "move a PostgreSQL database to another server, and prove that everything arrived",
		Version:     versionText(),
		Writer:      stdout,
		ErrWriter:   stderr,
		Description: exitCodes,
		// Errors are printed and mapped to exit codes here alone.
		ExitErrHandler:         func(*cli.Context, error) {},
		HideHelpCommand:        true,
		UseShortOptionHandling: false,
		// A pattern may hold a comma.
		DisableSliceFlagSeparator: true,
		Commands: []*cli.Command{newRunCommand(), newDumpCommand(), newRestoreCommand(), newValidateCommand(),
			newVerifyCommand(), newInspectCommand(), newCheckCommand(), newSnapshotCommand(), newCompletionCommand(), newManCommand(), newReportCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return stream.Fail(stream.Usage, "no such command: %q", c.Args().First()).WithHint("pgmove --help lists the commands")
			}
			return cli.ShowAppHelp(c)
		},
		OnUsageError: usageError,
	}
	withSecretFlags(app.Commands)
	for _, c := range app.Commands {
		c.OnUsageError = usageError
		addWatchFlags(c)
		action := c.Action
		c.Action = func(c *cli.Context) error {
			begun(c)
			return action(c)
		}
	}
	err := app.RunContext(ctx, splitShort(args, app.Commands))
	var se signalError
	if cause := context.Cause(ctx); errors.As(cause, &se) {
		err = se
	}
	asText := lastWords(app, stderr, err)
	if code := exitCode(err); asText && (code == 20 || code >= 130) {
		fmt.Fprint(stderr, resumeLine(args))
	}
	return exitCode(err)
}

func usageError(_ *cli.Context, err error, _ bool) error {
	return stream.Fail(stream.Usage, "%s", err).WithHint("see pgmove --help")
}

const exitCodes = `Exit codes:
    0  done, and verified at the level asked for
    1  failed, unclassified
    3  wrong usage or configuration
   10  refused before the target was touched (not empty, something missing)
   11  another run holds the target
   12  authentication or privilege
   20  an outage: run again with --resume
   21  cannot be resumed: start again
   30  the target differs from the source
   31  not an archive, or a damaged one
  130  interrupted; 143 terminated`

func exitCode(err error) int {
	var se signalError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &se):
		return se.code()
	}
	switch stream.KindOf(err) {
	case stream.Usage:
		return 3
	case stream.Preflight:
		return 10
	case stream.Busy:
		return 11
	case stream.Denied:
		return 12
	case stream.Outage:
		return 20
	case stream.NotResumable:
		return 21
	case stream.Mismatch:
		return 30
	case stream.Integrity:
		return 31
	}
	return 1
}

// printError prints what happened and, on a line of its own, what to do next.
func printError(w io.Writer, err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(w, "pgmove: %s\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", hint)
	}
}

// hintOf returns what to do next, by the outermost failure that says so.
func hintOf(err error) string {
	for err != nil {
		var f *stream.Failure
		if !errors.As(err, &f) {
			return ""
		}
		if f.Hint != "" {
			return f.Hint
		}
		err = f.Err
	}
	return ""
}
