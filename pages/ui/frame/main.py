"""What Streamlit runs on every visit and click: the frame around the page that was chosen."""

if __name__ == "__main__":  # Dask's and nnU-Net's child processes load this file too, under another name
    from pages.ui.frame import shell

    shell.show()
