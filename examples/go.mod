module github.com/seed-ad7f1900/sessiondata/examples

go 1.26.0

require github.com/seed-ad7f1900/sessiondata v0.0.0

require (
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/schollz/progressbar/v3 v3.19.1 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/seed-ad7f1900/sessiondata => ../
