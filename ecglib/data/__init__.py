"""The databases: getting them, reading them, cutting and splitting them. Adding one: see CONTRIBUTING.md.

- `physionet`: the registry `DATABASES`; download, checksums, where the data are
- `wfdb_files`: reading WFDB records, and a cache of what was made of them
- `mitbih`: MIT-BIH as beats under R1's protocol
- `ptbxl`: PTB-XL as 12-lead records under R3's protocol
- `split`: training, validation and test
- `augment`: changes to a beat that leave it the same kind of beat
- `simulate`, `simulate_mitbih`, `simulate_ptbxl`: small databases made from a seed, for a laptop without data
"""
