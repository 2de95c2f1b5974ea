"""The databases: download, reading, preparation and splits. CONTRIBUTING.md says how to add one.

- `physionet`: the registry `DATABASES`, the data root, download; `verify`: is what is on disk what was published?
- `wfdb_files`: reading the databases' WFDB records, and a cache of prepared arrays
- `wfdb_header`: the header of a WFDB record, read strictly
- `pack`: a database in a few files that need no WFDB
- `mitbih`: MIT-BIH as beats under R1's protocol
- `r_peaks`: Hamilton's R-peak detector
- `ptbxl`: PTB-XL as 12-lead records under R3's protocol; `ptbxl_index`: its tables, read strictly
- `recordings`: opening a recording of one's own; `recording`, and its kinds
  `recording_wfdb`, `recording_edf`, `recording_table`
- `quality`: is a piece of a recording an ECG?
- `split`: training, validation and test
- `augment`: changes to a beat that do not change its class
- `simulate`, `simulate_mitbih`, `simulate_ptbxl`: small simulated databases for computers without the real ones

Everywhere: `root` is the data root, the folder that holds `mitdb/1.0.0` and `ptb-xl/1.0.3`.
"""
