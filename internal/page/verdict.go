package page

import (
	"fmt"
	"strings"
)

// verdict sets the headline: what came of it, in words that claim no more than was compared.
func (v *view) verdict() {
	r := v.Report
	v.Tone = "bad"
	if r.Hint != "" {
		v.Next = []part{{Text: r.Hint}}
	}
	switch {
	case r.ExitCode == 30:
		v.Headline = "The target differs from the source"
		if r.Result != nil {
			v.Lead = plural(len(r.Result.Mismatches), "difference was found. It is listed below.", "differences were found. They are listed below.")
		}
	case r.ExitCode == 130 || r.ExitCode == 143:
		v.Headline = "Stopped by a signal"
	case r.ExitCode != 0:
		v.Headline = "It did not end well"
	case r.Result == nil && r.Command == "dump":
		v.Tone, v.Headline = "plain", "The archive is complete"
		v.Lead = "Nothing was restored, so nothing was compared."
		v.or("Restore it with `pgmove restore`, which compares the target with this archive; `pgmove verify` reads all of the archive again.")
	case r.Result == nil:
		v.Tone, v.Headline = "plain", "Moved, and not compared"
		v.Lead = "No validation was asked for."
		v.or("Compare with `pgmove validate`, by the digests in the JSON report or with the source.")
	case r.Result.Level == "count":
		v.Tone, v.Headline = "good", "Every count is equal"
		v.Lead = "The rows of " + v.compared() + " were counted, not compared."
		v.or("Where the content matters, compare with `pgmove validate --validate digest`.")
	default:
		v.Tone, v.Headline = "good", "Everything arrived"
		v.Lead = fmt.Sprintf("%s, %s and %s were compared with what the snapshot held: all equal.", v.compared(),
			plural(r.Result.Sequences, "sequence", "sequences"), plural(r.Result.Schema, "definition", "definitions"))
		if n := len(r.Result.Unverified); n > 0 {
			v.Lead += " " + plural(n, "thing is", "things are") + " listed below as not compared."
		}
		v.or("Nothing. The digests in the JSON report let `pgmove validate --digests` compare the target again later.")
	}
	v.or(next[r.ExitCode])
}

// compared names the tables that were compared, and the large objects, which count as one.
func (v *view) compared() string {
	n, blobs := len(v.Report.Result.Tables), ""
	for i := range v.Report.Tables {
		if _, ok := v.largeObjects(i); ok {
			n, blobs = n-1, ", the large objects"
		}
	}
	return plural(n, "table", "tables") + blobs
}

// part is a piece of text, or of a command in it.
type part struct {
	Text string
	Code bool
}

// parts cuts a text of ours, in which commands stand between backticks.
func parts(s string) []part {
	var out []part
	for i, p := range strings.Split(s, "`") {
		if p != "" {
			out = append(out, part{p, i%2 == 1})
		}
	}
	return out
}

// or sets what to do next where the report itself doesn't say.
func (v *view) or(text string) {
	if len(v.Next) == 0 {
		v.Next = parts(text)
	}
}

// next says what to do after each exit code.
var next = map[int]string{
	1:   "Read the message; correct what it names; begin again with an empty target, or give the same command with `--resume`.",
	3:   "Correct the command: nothing was begun.",
	10:  "Do what the message says: the target was not touched.",
	11:  "Let the other run end, or stop it.",
	12:  "Grant what is missing, or give another role.",
	20:  "Run the same command again with `--resume`.",
	21:  "Start again: drop and create the target database, delete the archive.",
	30:  "Don't switch over. Look at the tables below; find out who writes to the target, then move again or mend the rows.",
	31:  "Dump again: the archive is damaged, or none.",
	130: "Run the same command again with `--resume`.",
	143: "Run the same command again with `--resume`.",
}
