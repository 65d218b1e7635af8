package main

import (
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/pgmove/pgmove/internal/bars"
	"github.com/pgmove/pgmove/internal/pace"
	"github.com/pgmove/pgmove/stream"
)

// How often bars are drawn, and progress is told in lines on a terminal and in a log.
const (
	drawEvery = 250 * time.Millisecond
	lineEvery = 3 * time.Second
	logEvery  = 10 * time.Second
)

// pause is after how long without a turn the process must have been stopped, and others have written on its terminal.
const pause = 5 * time.Second

// watcher shows how far a run is, in all the ways that were asked for.
type watcher struct {
	rep    *Report
	tally  *pace.Tally
	screen *bars.Screen
	logger *logger
	style  bars.Style
	bars   bool // are drawn
	lines  bool // tell progress
	meters *meters
	listen *listener

	termination string // where the termination message goes, "" where it wasn't asked for

	cancel context.CancelFunc
	over   sync.WaitGroup
	once   sync.Once
}

// startWatch reads the flags. Its errors come before anything was connected to.
func startWatch(c *cli.Context, rep *Report) (*watcher, error) {
	format, err := logFormat(c)
	if err != nil {
		return nil, err
	}
	screen, ok := c.App.ErrWriter.(*bars.Screen)
	if !ok {
		screen = bars.NewScreen(c.App.ErrWriter)
	}
	w := &watcher{rep: rep, tally: pace.New(c.Command.Name), screen: screen, lines: !c.Bool("no-progress") && !c.Bool("quiet"),
		termination: c.String("termination-log")}
	fd, isTerminal := terminal(screen)
	w.bars = w.lines && isTerminal && format == formatAuto && capable(fd)
	w.logger = newLogger(screen, format, isTerminal, w.bars, c.Bool("quiet"))
	w.style = styleOf()
	if w.meters, err = newMeters(c, w.tally); err != nil {
		return nil, err
	}
	if w.listen, err = startListener(c.String("listen"), w.tally, w.meters); err != nil {
		return nil, err
	}
	c.App.Metadata["watch"] = w
	rep.also = w.observe
	w.logger.start(c.Command.Name)
	if w.listen != nil {
		w.logger.listening(w.listen.addr)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.over.Go(func() { w.turn(ctx, fd, c.Int("jobs")) })
	w.over.Go(func() { w.publishing(ctx) })
	return w, nil
}

// observe takes the events of all sides.
func (w *watcher) observe(e stream.Event) {
	w.logger.event(e, w.tally.Observe(e), w.tally)
}

// turn shows progress until stop.
func (w *watcher) turn(ctx context.Context, fd, jobs int) {
	every := logEvery
	if w.logger.plain && !w.logger.explicit {
		every = lineEvery
	}
	if w.bars {
		every = drawEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case now := <-t.C:
			switch {
			case w.bars:
				if now.Sub(last) > pause || !foreground(fd) {
					w.screen.Forget()
				}
				if last = now; foreground(fd) {
					w.draw(fd, jobs)
				}
			case w.lines:
				w.logger.progress(w.tally.Status())
			}
		case <-ctx.Done():
			return
		}
	}
}

// draw draws the bars, where the terminal is large enough for them now.
func (w *watcher) draw(fd, jobs int) {
	width, height, err := term.GetSize(fd)
	if err != nil || width < bars.MinWidth || height < bars.MinHeight {
		w.screen.Clear()
		return
	}
	w.screen.Draw(bars.Frame(w.tally.Status(), width, height, jobs, w.style), width)
}

// publishing writes and pushes the metrics until stop.
func (w *watcher) publishing(ctx context.Context) {
	t := time.NewTicker(publishEvery)
	defer t.Stop()
	for {
		w.publish(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// publish writes and pushes the metrics once. What fails is a warning.
func (w *watcher) publish(ctx context.Context) {
	for _, err := range w.meters.publish(ctx) {
		w.rep.observe(stream.Event{Kind: stream.EventWarning, Text: err.Error()})
	}
}

// stop takes the bars away: results come next.
func (w *watcher) stop() {
	w.once.Do(func() {
		w.cancel()
		w.over.Wait()
		w.screen.Clear()
	})
}

// end tells how it ended, as the last of all.
func (w *watcher) end(e ending) {
	w.meters.end(e)
	w.publish(context.Background())
	w.logger.end(e)
	w.listen.close()
}

func newScreen(w io.Writer) *bars.Screen { return bars.NewScreen(w) }

// terminal returns the terminal that is written to, if it is one.
func terminal(s *bars.Screen) (int, bool) {
	f, ok := s.Unwrap().(*os.File)
	if !ok {
		return -1, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// capable reports whether a terminal can have bars.
func capable(fd int) bool {
	if t := os.Getenv("TERM"); t == "" || t == "dumb" {
		return false
	}
	width, height, err := term.GetSize(fd)
	return err == nil && width >= bars.MinWidth && height >= bars.MinHeight
}

// styleOf is what the environment asks for.
func styleOf() bars.Style {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale = os.Getenv(name); locale != "" {
			break
		}
	}
	locale = strings.ToUpper(locale)
	return bars.Style{Colour: os.Getenv("NO_COLOR") == "", Plain: !strings.Contains(locale, "UTF-8") && !strings.Contains(locale, "UTF8")}
}
