module github.com/seed-ad7f1900/sessiondata/proof

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/seed-ad7f1900/sessiondata v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/bradfitz/gomemcache v0.0.0-20260422231931-4d751bb6e37c // indirect
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/seed-ad7f1900/sessiondata => ../
