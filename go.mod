module github.com/seed-ad7f1900/sessiondata

go 1.26.0
