package main

import (
	"fmt"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

func init() {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
}

// drawCharts draws the cost against the size, and the updates lost, as SVG files
// in dir.
func drawCharts(r *report, dir string) error {
	for w, name := range map[work]string{readOne: "bench-read.svg", changeOne: "bench-change.svg"} {
		p := plot.New()
		p.Title.Text = capital(describe(w)) + ": time against the size of the session"
		p.X.Label.Text, p.Y.Label.Text = "size of the session in bytes", "microseconds"
		p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
		p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
		p.Legend.Top, p.Legend.Left = true, true
		p.Add(plotter.NewGrid())
		for i, c := range r.find(scenario{work: w, shape: sweepShape(sweep[0]), goroutines: 1, pinned: true}.key()).cells {
			var points plotter.XYs
			for _, n := range sweep {
				res := r.find(scenario{work: w, shape: sweepShape(n), goroutines: 1, pinned: true}.key())
				points = append(points, plotter.XY{X: float64(n * 100), Y: spreadOf(res.cell(c.peer).nanos).median / 1e3})
			}
			line, marks, err := plotter.NewLinePoints(points)
			if err != nil {
				return err
			}
			line.Color, marks.Color = plotutil.Color(i), plotutil.Color(i)
			line.Width, marks.Shape = vg.Points(1.5), plotutil.Shape(i)
			p.Add(line, marks)
			p.Legend.Add(c.peer, line, marks)
		}
		if err := p.Save(18*vg.Centimeter, 11*vg.Centimeter, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Updates lost of %d, 8 goroutines counting in one session", counters*countsEach)
	p.Y.Label.Text, p.Y.Min, p.Y.Max = "lost", 0, counters*countsEach
	var values plotter.Values
	var names []string
	for _, l := range r.lost {
		values = append(values, float64(l.lost))
		names = append(names, fmt.Sprintf("%s: %d", l.peer, l.lost))
	}
	bars, err := plotter.NewBarChart(values, vg.Points(40))
	if err != nil {
		return err
	}
	bars.Color = plotutil.Color(0)
	p.Add(bars)
	p.NominalX(names...)
	return p.Save(18*vg.Centimeter, 9*vg.Centimeter, filepath.Join(dir, "bench-lost.svg"))
}
