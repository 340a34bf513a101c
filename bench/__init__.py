"""What `make bench` measures: the bot beside what people would pick instead, one file for each line of the table."""
